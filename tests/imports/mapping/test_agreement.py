"""The compiled mapping does what the reference does, on mappings and records that nobody chose."""

from typing import Any

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from imports.checking import encode
from imports.mapping.compiled import Unmapped, compile_mapping
from imports.mapping.definition import Mapping
from imports.mapping.mistake import UnfitMapping
from imports.mapping.problem import MAX_PROBLEMS
from tests.imports.mapping.reference import Reference

NAMES = ["a", "b", "c"]
paths = st.lists(st.sampled_from(["a", "b", "c", "[0]", "[1]", "[*]", "[*]"]), max_size=3)


def text_of(steps: list[str], root: str = "attributes") -> str:
    text = root
    for step in steps:
        text += step if step.startswith("[") else f".{step}"
    return text


sources = st.one_of(
    paths.map(text_of), st.sampled_from(NAMES).map(lambda name: f"customFields.{name}"), st.sampled_from(["id", "type"])
)
targets = st.one_of(
    st.builds(lambda first, rest: text_of([first, *rest]), st.sampled_from(["a", "b", "c", "d", "e"]), paths),
    st.sampled_from(["a", "b", "z"]).map(lambda name: f"customFields.{name}"),
)
transforms = st.sampled_from(
    [
        {"name": "trim"},
        {"name": "upper"},
        {"name": "lower"},
        {"name": "suffix", "arguments": {"text": "!"}},
        {"name": "replace", "arguments": {"text": "a", "by": ""}},
        {"name": "substring", "arguments": {"length": 1}},
        {"name": "split", "arguments": {"separator": "a"}},
        {"name": "split", "arguments": {"separator": "a", "index": 1}},
        {"name": "join", "arguments": {"separator": "-"}},
        {"name": "first"},
        {"name": "constant", "arguments": {"value": "k"}},
        {"name": "constant", "arguments": {"value": None}},
        {"name": "lookup", "arguments": {"table": {"a": None, "A": 1, "1": "x"}, "unknown": "keep"}},
        {"name": "lookup", "arguments": {"table": {"a": "2024-03-15"}, "unknown": "refuse"}},
        {"name": "extract", "arguments": {"pattern": "[0-9]+"}},
        {"name": "pad", "arguments": {"length": 1024}},
        {"name": "suffix", "arguments": {"text": "s" * 1_000}},
        {"name": "scale", "arguments": {"by": "0.1"}},
        {"name": "parse_date", "arguments": {"formats": ["%Y-%m-%d"]}},
        {"name": "format_date", "arguments": {"format": "%Y"}},
        {
            "name": "conditional",
            "arguments": {
                "when": {"absent": True},
                "then": [{"name": "constant", "arguments": {"value": "none"}}],
                "else": [{"name": "upper"}],
            },
        },
    ]
)
TYPES = ["string", "string", "string", "integer", "decimal", "boolean", "date", "enum", "list", "object"]
DEFAULTS: dict[str, list[Any]] = {
    "string": ["d", ""],
    "integer": [7, "7"],
    "decimal": ["0.50", 3],
    "boolean": [True],
    "date": ["2024-03-15"],
    "enum": ["a"],
    "list": [[1], []],
    "object": [{"x": 1}],
}
EXPRESSIONS = [
    "attributes.a",
    "$uppercase(attributes.b)",
    "attributes.c[0]",
    "$count(attributes.*)",
    "id & 'x'",
    "null",
]


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(TYPES))
    rule: dict[str, Any] = {
        "target": draw(targets),
        "type": kind,
        "transforms": draw(st.lists(transforms, max_size=3)),
        "absent": draw(st.sampled_from(["missing", "null", "blank"])),
        "mandatory": draw(st.booleans()),
    }
    if kind == "enum":
        rule["values"] = ["a", "A", "1"]
    way = draw(st.sampled_from(["source"] * 6 + ["sources", "expression"]))
    if way == "source":
        rule["source"] = draw(sources)
    elif way == "sources":
        rule["sources"] = draw(st.lists(sources, min_size=1, max_size=3))
    else:
        rule["expression"] = draw(st.sampled_from(EXPRESSIONS))
    if draw(st.integers(0, 3)) == 0:
        rule["default"] = draw(st.sampled_from([*DEFAULTS[kind], None]))
    return rule


@st.composite
def mappings(draw: st.DrawFn) -> Mapping:
    """Rules that stand in each other's way, or cannot be used, are left out one by one."""
    kept: list[dict[str, Any]] = []
    has_expressions = False
    for rule in draw(st.lists(rules(), min_size=1, max_size=6)):
        try:
            compile_mapping(msgspec.convert({"type": "order", "fields": [*kept, rule]}, Mapping))
        except UnfitMapping:
            continue
        kept.append(rule)
        has_expressions |= "expression" in rule
    assume(kept)
    # What an expression reads has tests of its own; the reference knows paths alone.
    policies = ["drop"] if has_expressions else ["drop", "keep", "refuse"]
    return msgspec.convert(
        {
            "type": "order",
            "fields": kept,
            "unmapped": draw(st.sampled_from(policies)),
            "ignored": draw(st.lists(sources, max_size=1)),
        },
        Mapping,
    )


plain = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(["a", "A", " a ", "", " ", "1", "a1a2", "2024-03-15", "true", "1.50", "b" * 1_030]),
    st.sampled_from([0, 1, -7, 2**70]),
    st.sampled_from([Raw(b"1.50"), Raw(b"1e400"), Raw(b"-0.0"), Raw(b"1E+2")]),
)
values = st.recursive(
    plain,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)),
    max_leaves=6,
)
attributes = st.dictionaries(st.sampled_from([*NAMES, "d", "other"]), values, max_size=4)
custom_fields = st.dictionaries(st.sampled_from([*NAMES, "z"]), st.sampled_from(["", " ", "a", "1"]), max_size=3)


@settings(max_examples=500)
@given(mappings(), attributes, custom_fields)
def test_the_compiled_mapping_agrees_with_the_reference(
    mapping: Mapping, given_attributes: dict[str, Any], given_custom: dict[str, Any]
) -> None:
    record = {"id": "C-1", "type": "order", "attributes": given_attributes, "customFields": given_custom}
    before = encode(record)
    wanted_attributes, wanted_custom, wanted_problems, lacking = Reference(mapping)(record)
    compiled = compile_mapping(mapping)
    missing = [0] * len(compiled.targets)
    try:
        found = compiled("C-1", "order", given_attributes, given_custom, missing)
    except Unmapped as err:
        assert [(one.code, one.pointer, one.target) for one in err.problems] == wanted_problems[:MAX_PROBLEMS]
    else:
        assert wanted_problems == []
        assert encode(found) == encode((wanted_attributes, wanted_custom))
        assert missing == lacking
    assert encode(record) == before


@given(
    st.one_of(
        st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**300), max_value=10**300).map(str),
        st.integers(-(10**300), 10**300).map(str),
    )
)
def test_a_number_passes_a_mapping_digit_by_digit(digits: str) -> None:
    mapping = msgspec.convert(
        {
            "type": "order",
            "fields": [
                {"target": "attributes.number", "source": "attributes.a", "type": "decimal"},
                {"target": "attributes.text", "source": "attributes.a", "type": "string"},
                {"target": "attributes.deep.numbers[*]", "source": "attributes.b[*]", "type": "decimal"},
                {"target": "attributes.all", "source": "attributes.b", "type": "list"},
                {"target": "customFields.c", "source": "attributes.a", "type": "string"},
                {
                    "target": "attributes.first",
                    "sources": ["attributes.a"],
                    "type": "decimal",
                    "transforms": [{"name": "first"}],
                },
            ],
            "unmapped": "keep",
        },
        Mapping,
    )
    raw = b'{"a":%s,"b":[%s],"rest":{"kept":%s}}' % ((digits.encode(),) * 3)
    attributes = msgspec.json.Decoder(dict[str, Any], float_hook=Raw).decode(raw)
    mapped = encode(compile_mapping(mapping)("1", "order", attributes, {}, [0] * 6))
    text = msgspec.json.encode(digits)
    assert mapped == (
        b'[{"all":[%s],"deep":{"numbers":[%s]},"first":%s,"number":%s,"rest":{"kept":%s},"text":%s},{"c":%s}]'
        % (*((digits.encode(),) * 5), text, text)
    )


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=255))
def test_an_id_passes_a_mapping_letter_by_letter(record_id: str) -> None:
    mapping = msgspec.convert(
        {"type": "order", "fields": [{"target": "attributes.was", "source": "id", "type": "string"}]}, Mapping
    )
    assert compile_mapping(mapping)(record_id, "order", {}, {}, [0]) == ({"was": record_id}, {})
