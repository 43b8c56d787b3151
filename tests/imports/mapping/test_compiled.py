"""A compiled mapping: fields, what has no rule, record rules, the schema, and every problem at once."""

import json
from typing import Any

import pytest

from imports.checking import encode
from imports.mapping.compiled import Unmapped
from imports.mapping.definition import FieldRule, RecordRule, Transform
from tests.imports.mapping.mapped import mapping, mistakes, problems, rule, run


def test_a_field_goes_from_source_to_target_through_its_transforms() -> None:
    compiled = mapping(rule("contact.name", "contactName", transforms=["trim", "upper"]))
    assert run(compiled, {"contactName": " Maria "}) == {"contact": {"name": "MARIA"}}
    assert compiled.targets == ("attributes.contact.name",)


def test_a_number_leaves_with_the_digits_it_came_with() -> None:
    compiled = mapping(rule("price", "price", type="decimal"), rule("text", "price"), rule("n", "n", type="integer"))
    assert run(compiled, '{"price":1.50,"n":12345678901234567890123}') == {
        "price": ("number", "1.50"),
        "text": "1.50",
        "n": 12345678901234567890123,
    }


def test_id_and_type_can_be_read_and_custom_fields_written() -> None:
    compiled = mapping(rule("customFields.was", "id"), rule("kind", "type"), rule("fax", "customFields.fax"))
    assert run(compiled, {}, {"fax": "1"}) == ({"kind": "customer", "fax": "1"}, {"was": "C-1"})


@pytest.mark.parametrize(
    ("absent", "value", "gives"),
    [
        ("missing", None, {"to": None}),
        ("null", None, {"to": "none"}),
        ("null", " ", {"to": " "}),
        ("blank", " ", {"to": "none"}),
        ("blank", None, {"to": "none"}),
    ],
)
def test_absent_says_what_counts_as_no_value(absent: str, value: Any, gives: Any) -> None:
    counters = [0]
    compiled = mapping(rule("to", "from", absent=absent, default="none"))
    assert run(compiled, {"from": value}, missing=counters) == gives
    assert run(compiled, {}, missing=counters) == {"to": "none"}
    assert counters == [2 if gives["to"] == "none" else 1]


def test_what_a_transform_leaves_blank_is_no_value_either() -> None:
    digits = {"name": "replace_pattern", "arguments": {"pattern": "[^0-9]", "by": ""}}
    compiled = mapping(rule("to", "from", absent="blank", mandatory=True, transforms=[digits]))
    assert problems(compiled, {"from": "n/a"}) == [("field_missing", "/attributes/from", "/attributes/to")]


def test_a_null_passes_over_transforms_and_stays_null() -> None:
    assert run(mapping(rule("to", "from", type="integer", transforms=["trim"])), {"from": None}) == {"to": None}
    assert run(mapping(rule("customFields.to", "from")), {"from": None}) == {}


def test_several_sources_are_a_list_and_a_step_on_text_works_on_each() -> None:
    compiled = mapping(
        rule(
            "name",
            absent="blank",
            sources=["first", "last"],
            transforms=["trim", Transform("join", {"separator": " "})],
        )
    )
    assert run(compiled, {"first": " A ", "last": "B"}) == {"name": "A B"}
    assert run(compiled, {"first": " ", "last": "B"}) == {"name": "B"}
    assert run(compiled, {"first": " ", "last": None}) == {}


def test_a_wildcard_gives_a_list_with_null_where_there_is_nothing() -> None:
    compiled = mapping(rule("skus", "items[*].sku", type="list", default=["none"]))
    assert run(compiled, {"items": [{"sku": "a"}, {}, {"sku": "b"}]}) == {"skus": ["a", None, "b"]}
    assert run(compiled, {"items": []}) == {"skus": []}
    assert run(compiled, {"items": [{}]}) == {"skus": ["none"]}
    assert run(compiled, {}) == {"skus": ["none"]}


def test_wildcards_of_lists_in_lists_give_one_flat_list() -> None:
    compiled = mapping(rule("skus", "orders[*].lines[*].sku", type="list"))
    assert run(compiled, {"orders": [{"lines": [{"sku": 1}, {"sku": 2}]}, {}, {"lines": [{"sku": 3}]}]}) == {
        "skus": [1, 2, 3]
    }


def test_wildcards_on_both_sides_take_each_element_to_its_index() -> None:
    compiled = mapping(
        rule("lines[*].code", "items[*].sku", transforms=["upper"]),
        rule("lines[*].count", "items[*].qty", type="integer", default=1),
        rule("codes[*]", "items[*].sku"),
    )
    counters = [0, 0, 0]
    assert run(compiled, {"items": [{"sku": "a", "qty": "2"}, {"qty": 3}, {"sku": "c"}]}, missing=counters) == {
        "lines": [{"code": "A", "count": 2}, {"count": 3}, {"code": "C", "count": 1}],
        "codes": ["a", None, "c"],
    }
    assert counters == [1, 1, 1]
    assert run(compiled, {"items": []}, missing=counters) == {"lines": [], "codes": []}
    assert counters == [1, 1, 1]
    assert run(compiled, {}, missing=counters) == {}
    assert counters == [2, 2, 2]


def test_lists_in_lists_keep_their_shape() -> None:
    compiled = mapping(rule("o[*].l[*].c", "orders[*].lines[*].sku"), rule("m[*][*]", "orders[*].lines[*].sku"))
    assert run(compiled, {"orders": [{"lines": [{"sku": "a"}, {"sku": "b"}]}, {"lines": []}, {}]}) == {
        "o": [{"l": [{"c": "a"}, {"c": "b"}]}, {"l": []}, {}],
        "m": [["a", "b"], [], []],
    }


def test_a_problem_in_an_element_names_the_element() -> None:
    compiled = mapping(rule("lines[*].n", "items[*].qty", type="integer", mandatory=True))
    assert problems(compiled, {"items": [{"qty": 1}, {"qty": "x"}, {}]}) == [
        ("not_a_number", "/attributes/items/1/qty", "/attributes/lines/1/n"),
        ("field_missing", "/attributes/items/2/qty", "/attributes/lines/2/n"),
    ]
    assert problems(compiled, {}) == [("field_missing", "/attributes/items", "/attributes/lines")]


def test_an_expression_reads_the_record_and_a_constant_nothing() -> None:
    compiled = mapping(
        FieldRule(target="attributes.sum", type="decimal", expression="$sum(attributes.n.$number($))"),
        rule("source", transforms=[Transform("constant", {"value": "crm"})]),
        rule("flag", type="boolean", default=False),
    )
    assert run(compiled, '{"n":[1.25,1.25]}') == {"sum": ("number", "2.5"), "source": "crm", "flag": False}


def test_every_problem_of_a_record_is_listed_without_a_value() -> None:
    compiled = mapping(
        rule("a", "a", type="integer"),
        rule("b", "b", mandatory=True),
        rule("c", "c.inner"),
        FieldRule(target="attributes.d", type="string", expression="attributes.a + 1"),
        rule("customFields.e", "e"),
        unmapped="refuse",
    )
    with pytest.raises(Unmapped) as caught:
        run(compiled, {"a": "canary", "c": "canary", "e": "canary" * 200, "z/z": "canary"})
    assert [(found.code, found.pointer, found.target) for found in caught.value.problems] == [
        ("not_a_number", "/attributes/a", "/attributes/a"),
        ("field_missing", "/attributes/b", "/attributes/b"),
        ("source_shape", "/attributes/c/inner", "/attributes/c"),
        ("expression_failed", "", "/attributes/d"),
        ("custom_field_too_long", "/attributes/e", "/customFields/e"),
        ("unmapped_field", "/attributes/z~1z", ""),
    ]
    assert "canary" not in repr(caught.value.problems)
    assert str(caught.value) == "not_a_number"


def test_the_problems_of_one_record_are_capped() -> None:
    compiled = mapping(rule("to[*]", "from[*]", type="integer"), unmapped="refuse")
    assert len(problems(compiled, {"from": ["x"] * 100} | {f"n{number}": 1 for number in range(100)})) == 20


NESTED = {"name": "n", "address": {"city": "c", "zip": "z"}, "lines": [{"sku": "s", "note": "n"}, {"sku": "t"}]}


def test_what_no_rule_reads_is_refused_at_any_depth() -> None:
    compiled = mapping(rule("city", "address.city"), rule("skus", "lines[*].sku", type="list"), unmapped="refuse")
    assert problems(compiled, NESTED, {"fax": "1"}) == [
        ("unmapped_field", "/attributes/name", ""),
        ("unmapped_field", "/attributes/address/zip", ""),
        ("unmapped_field", "/attributes/lines/0/note", ""),
        ("unmapped_field", "/customFields/fax", ""),
    ]


def test_what_no_rule_reads_is_kept_where_it_was() -> None:
    compiled = mapping(rule("city", "address.city"), rule("lines[*].code", "lines[*].sku"), unmapped="keep")
    assert run(compiled, NESTED, {"fax": "1"}) == (
        {
            "name": "n",
            "city": "c",
            "address": {"zip": "z"},
            "lines": [{"code": "s", "note": "n"}, {"code": "t"}],
        },
        {"fax": "1"},
    )


def test_what_is_ignored_is_neither_kept_nor_refused() -> None:
    ignored = ("attributes.name", "attributes.lines[*].note", "attributes.lines[*].sku", "attributes.address")
    assert run(mapping(unmapped="refuse", ignored=ignored), NESTED) == {}
    assert run(mapping(unmapped="keep", ignored=ignored), NESTED) == {}


def test_a_plain_value_is_not_ignored_by_a_path_into_it() -> None:
    compiled = mapping(unmapped="refuse", ignored=("attributes.a.b",))
    assert problems(compiled, {"a": "text"}) == [("unmapped_field", "/attributes/a", "")]


def test_what_an_expression_reads_counts_as_read() -> None:
    expression = "attributes.lines[sku = 's'].note"
    compiled = mapping(FieldRule(target="attributes.note", type="string", expression=expression), unmapped="refuse")
    assert problems(compiled, {"lines": [{"sku": "s", "note": "n", "more": 1}]}) == [
        ("unmapped_field", "/attributes/lines/0/more", "")
    ]


@pytest.mark.parametrize("kept", ["to", "to.inner", "deep", "deep.place.inner", "deep[0]"])
def test_what_is_kept_never_takes_the_place_of_a_field(kept: str) -> None:
    compiled = mapping(rule("to", "from"), rule("deep.place", "from"), unmapped="keep")
    kinds: dict[str, Any] = {
        "to": {"to": 1},
        "to.inner": {"to": {"inner": 1}},
        "deep": {"deep": 1},
        "deep.place.inner": {"deep": {"place": {"inner": 1}}},
        "deep[0]": {"deep": [1]},
    }
    assert [code for code, _, _ in problems(compiled, kinds[kept])] == ["unmapped_conflict"]


def test_kept_custom_fields_count_against_the_limit() -> None:
    compiled = mapping(rule("customFields.more", "more"), unmapped="keep")
    many = {f"n{number}": "v" for number in range(50)}
    assert problems(compiled, {"more": "x"}, many) == [("too_many_custom_fields", "", "/customFields")]


@pytest.mark.parametrize(
    "name", ['"); import os; ("', "a'b", "a\nb", "a\\", "{v}", "MISSING", "run", "\u2028", "__class__"]
)
def test_a_name_is_a_name_and_never_code(name: str) -> None:
    quoted = json.dumps(name)
    compiled = mapping(
        rule(
            f"{quoted}.{quoted}", f"{quoted}.{quoted}", transforms=[Transform("prefix", {"text": name})], default=name
        ),
        FieldRule(target=f"customFields.{quoted}", type="string", source=f"customFields.{quoted}"),
    )
    assert run(compiled, {name: {name: "x"}}, {name: "y"}) == ({name: {name: f"{name}x"}}, {name: "y"})
    code = compiled._run.__code__
    assert name not in [text for text in code.co_consts if text not in ("source_shape", None)]


def test_rules_and_schema_see_the_mapped_record() -> None:
    compiled = mapping(
        rule("name", "n"),
        rule("price", "p", type="decimal"),
        rules=(
            RecordRule(code="price_positive", that="$number(attributes.price) > 0", message="The price is over 0."),
            RecordRule(code="named", that="$length(attributes.name) > 0", message="A name has a letter."),
            RecordRule(code="broken", that="attributes.name + 1 > 0", message="Not shown."),
            RecordRule(code="truthy", that="attributes.name", message="True itself is asked for."),
        ),
        schema={"properties": {"attributes": {"properties": {"name": {"minLength": 2}, "price": {"minimum": 0}}}}},
    )
    assert problems(compiled, '{"n":"a","p":-1.5}') == [
        ("price_positive", "", ""),
        ("expression_failed", "", ""),
        ("truthy", "", ""),
        ("schema_min_length", "/attributes/n", "/attributes/name"),
        ("schema_minimum", "/attributes/p", "/attributes/price"),
    ]


def test_a_schemas_error_in_a_list_names_the_element_it_came_from() -> None:
    compiled = mapping(
        rule("lines[*].n", "items[*].qty", type="integer"),
        schema={
            "properties": {"attributes": {"properties": {"lines": {"items": {"properties": {"n": {"minimum": 1}}}}}}}
        },
    )
    assert problems(compiled, {"items": [{"qty": 1}, {"qty": 0}]}) == [
        ("schema_minimum", "/attributes/items/1/qty", "/attributes/lines/1/n")
    ]


@pytest.mark.parametrize("unmapped", ["drop", "keep"])
def test_a_number_beyond_all_bounds_is_kept_but_fits_no_schema(unmapped: str) -> None:
    fields = [rule("p", "p", type="decimal")] if unmapped == "drop" else []
    assert run(mapping(*fields, unmapped=unmapped), '{"p":1e400000000}') == {"p": ("number", "1e400000000")}
    compiled = mapping(*fields, unmapped=unmapped, schema={"type": "object"})
    assert problems(compiled, '{"p":1e400000000}') == [("number_out_of_range", "", "")]


def test_what_is_given_is_not_changed_and_what_comes_can_be_encoded() -> None:
    compiled = mapping(rule("all", "all", type="object"), rule("a.b[1]", "n", type="decimal"), unmapped="keep")
    attributes = {"all": {"x": [1, None]}, "n": "1.10", "rest": {"deep": [{}]}}
    before = encode(attributes)
    mapped, custom = compiled("1", "customer", attributes, {}, [0, 0])
    assert encode(attributes) == before
    assert encode([mapped, custom]) == b'[{"a":{"b":[null,1.10]},"all":{"x":[1,null]},"rest":{"deep":[{}]}},{}]'


@pytest.mark.parametrize(
    ("fields", "places"),
    [
        ([rule("a", "x"), rule("a", "y")], ["fields[1]"]),
        ([rule("a", "x"), rule("a.b", "y")], ["fields[1]"]),
        ([rule("a.b", "x"), rule("a[0]", "y")], ["fields[1]"]),
        ([rule("a[*].b", "x[*]"), rule("a[0].b", "y")], ["fields[1]"]),
        ([rule("a[*].b", "x[*]"), rule("a[0].c", "y")], []),
        ([rule("id", "x")], ["fields[0].target"]),
        ([rule("attributes", "x")], ["fields[0].target"]),
        ([rule("attributes[0]", "x")], ["fields[0].target"]),
        ([rule("customFields.a.b", "x")], ["fields[0].target"]),
        ([rule("a[100]", "x")], ["fields[0].target"]),
        ([rule("customFields.a", "x", type="integer")], ["fields[0].type"]),
        ([rule("a[*]", "x")], ["fields[0].target"]),
        ([rule("a[*]", sources=["x[*]"])], ["fields[0].target"]),
        ([rule("a", "x", type="enum")], ["fields[0].values"]),
        ([rule("a", "x", type="integer", default="x")], ["fields[0].default"]),
        ([rule("customFields.a", "x", default=None)], ["fields[0].default"]),
        ([rule("a", "x", default=1.5)], ["fields[0].default"]),
        ([rule("a", "x", default="a\0")], ["fields[0].default"]),
        ([rule("a")], ["fields[0]"]),
        ([rule("a", "x", sources=["y"])], ["fields[0]"]),
        ([rule("a", "x", expression="1 +")], ["fields[0]", "fields[0].expression"]),
        ([rule("a", "x.", transforms=["nonsense"])], ["fields[0].source", "fields[0].transforms[0]"]),
        ([rule("a", "x", mask="custom")], ["fields[0].mask_pattern"]),
        ([rule("a", "x", mask="custom", mask_pattern={"pattern": "(", "by": ""})], ["fields[0].mask_pattern.pattern"]),
    ],
)
def test_every_mistake_is_named_with_its_place(fields: list[FieldRule], places: list[str]) -> None:
    assert mistakes(*fields) == places


def test_mistakes_outside_fields_are_named_too() -> None:
    wrong = RecordRule(code="wrong_type", that="(", message="")
    assert mistakes(type="car", ignored=("a b",), rules=(wrong,), schema={"type": "foo"}) == [
        "type",
        "ignored[0]",
        "rules[0].code",
        "rules[0].that",
        "schema",
    ]
