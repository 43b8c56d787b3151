from decimal import Decimal
from typing import Any

import pytest
from msgspec import UNSET

from imports.mapping.definition import FieldRule, Mapping, RecordRule, Transform
from imports.mapping.difference import Change, Difference, difference

NAME = FieldRule(target="attributes.name", type="string", source="attributes.Name")
AGE = FieldRule(target="attributes.age", type="integer", source="attributes.Age")
RULE = RecordRule(code="of_age", that="attributes.age >= 18", message="Too young.")


def mapping(*fields: FieldRule, **members: Any) -> Mapping:
    return Mapping(type="customer", fields=fields, **members)


def test_mappings_that_say_the_same_do_not_differ() -> None:
    same = mapping(NAME, rules=(RULE,), schema={"a": 1, "b": 2}), mapping(NAME, rules=(RULE,), schema={"b": 2, "a": 1})
    assert difference(*same) == Difference()
    assert not difference(*same)


def test_fields_are_added_removed_and_changed_by_target() -> None:
    found = difference(
        mapping(NAME, AGE),
        mapping(
            FieldRule(
                target="attributes.name",
                type="string",
                sources=("attributes.Name", "attributes.name"),
                transforms=(Transform("trim"),),
                default="",
            ),
            FieldRule(target="attributes.city", type="string", source="attributes.City"),
        ),
    )
    assert (found.fields_added, found.fields_removed) == (("attributes.city",), ("attributes.age",))
    assert found.fields_changed == (
        Change("attributes.name", "default", UNSET, ""),
        Change("attributes.name", "source", "attributes.Name", UNSET),
        Change("attributes.name", "sources", [], ["attributes.Name", "attributes.name"]),
        Change("attributes.name", "transforms", [], [{"name": "trim", "arguments": {}}]),
    )


def test_another_order_is_a_change_of_the_order() -> None:
    found = difference(mapping(NAME, AGE), mapping(AGE, NAME))
    assert found == Difference(
        settings_changed=(
            Change(
                "",
                "order of fields",
                ["attributes.name", "attributes.age"],
                ["attributes.age", "attributes.name"],
            ),
        )
    )


def test_rules_are_told_by_their_code() -> None:
    harder = RecordRule(code="of_age", that="attributes.age >= 21", message="Too young.")
    other = RecordRule(code="has_name", that="true", message="No name.")
    found = difference(mapping(rules=(RULE,)), mapping(rules=(harder, other)))
    assert found == Difference(
        rules_added=("has_name",),
        rules_changed=(Change("of_age", "that", "attributes.age >= 18", "attributes.age >= 21"),),
    )
    assert difference(mapping(rules=(RULE,)), mapping()).rules_removed == ("of_age",)


def test_a_schema_differs_where_it_differs() -> None:
    old = {"properties": {"a/b": {"maximum": 1, "type": "number"}, "c": {}}, "required": ["c"]}
    new = {"properties": {"a/b": {"maximum": Decimal("1.0"), "type": "number"}}, "required": ["c", "d"]}
    found = difference(mapping(schema=old), mapping(schema=new))
    assert found.schema_changed == (
        Change("/properties/a~1b/maximum", "schema", 1, Decimal("1.0")),
        Change("/properties/c", "schema", {}, UNSET),
        Change("/required", "schema", ["c"], ["c", "d"]),
    )
    assert difference(mapping(), mapping(schema={})).schema_changed == (Change("", "schema", UNSET, {}),)


def test_settings_of_the_whole_mapping_are_told() -> None:
    found = difference(mapping(NAME), mapping(NAME, unmapped="drop", ignored=("attributes.x",)))
    assert found.settings_changed == (
        Change("", "unmapped", "refuse", "drop"),
        Change("", "ignored", [], ["attributes.x"]),
    )


@pytest.mark.parametrize(("old", "new"), [(True, 1), (0, False), (1, Decimal("1.0")), (None, UNSET)])
def test_values_that_python_takes_for_equal_differ(old: Any, new: Any) -> None:
    fields = [FieldRule(target="attributes.x", type="string", default=value) for value in (old, new)]
    found = difference(mapping(fields[0]), mapping(fields[1]))
    assert found.fields_changed == (Change("attributes.x", "default", old, new),)


def test_a_target_that_an_unfinished_draft_has_twice_is_told_apart() -> None:
    assert difference(mapping(NAME), mapping(NAME, NAME)).fields_added == ("attributes.name (2)",)
