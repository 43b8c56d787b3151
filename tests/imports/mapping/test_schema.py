"""JSON Schema over a mapped record."""

from typing import Any

import pytest
from msgspec import Raw

from imports.mapping.mistake import WrongArgument
from imports.mapping.schema import Schema

SCHEMA: dict[str, Any] = {
    "properties": {
        "attributes": {
            "required": ["name"],
            "properties": {
                "name": {},
                "email": {"format": "email"},
                "code": {"pattern": "^(a+)+$"},
                "price": {"maximum": 10},
            },
            "additionalProperties": False,
        }
    }
}


def test_every_error_comes_with_its_pointer_and_no_value() -> None:
    secret = "canary"
    problems = Schema(SCHEMA).check(
        {"attributes": {"email": secret, "code": "a" * 50_000 + secret, "price": Raw(b"10.01"), secret: 1}}
    )
    assert sorted((found.code, found.target) for found in problems) == [
        ("schema_additional_properties", "/attributes"),
        ("schema_format", "/attributes/email"),
        ("schema_maximum", "/attributes/price"),
        ("schema_pattern", "/attributes/code"),
        ("schema_required", "/attributes"),
    ]
    assert not any(secret in found.message for found in problems)


def test_a_fitting_record_has_no_errors() -> None:
    assert Schema(SCHEMA).check({"attributes": {"name": "a", "price": Raw(b"10.00")}}) == []


def test_the_errors_of_one_record_are_capped() -> None:
    schema = Schema({"properties": {"attributes": {"items": {"type": "string"}}}})
    assert len(schema.check({"attributes": [1] * 1000})) == 20


def test_a_reference_may_lead_through_lists_and_escapes() -> None:
    schema = {
        "$id": "https://example.com/order",
        "$defs": {"a/b%": {"type": "string"}},
        "properties": {"$id": {"$ref": "#/$defs/a~1b%25"}, "n": {"$ref": "#/oneOf/0"}},
        "oneOf": [{}],
    }
    assert [found.code for found in Schema(schema).check({"$id": 1})] == ["schema_type"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "foo"},
        {"pattern": "(?=a)b"},
        {"pattern": "(a)\\1"},
        {"$ref": "https://example.com/schema"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#"},
        {"$ref": "#/$defs/nowhere"},
        {"$schema": "http://json-schema.org/draft-07/schema#"},
        {"$ref": "#/allOf/1", "allOf": [{}]},
        {"$ref": "#/$defs/a%62", "$defs": {"ab": {"allOf": [{"$ref": "#/$defs/a%62"}]}}},
        {"properties": {"a": {"$id": "inner", "$defs": {"b": {"$ref": "#/$defs/b"}}}}},
        {"$defs": {"a": {"$schema": "http://json-schema.org/draft-07/schema#"}}},
        {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {
            "$defs": {"n0": {}}
            | {
                f"n{n}": {"allOf": [{"$ref": f"#/$defs/n{n - 1}"}, {"$ref": f"#/$defs/n{n - 1}"}]} for n in range(1, 30)
            },
            "$ref": "#/$defs/n29",
        },
    ],
)
def test_a_schema_that_fetches_loops_or_multiplies_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(WrongArgument):
        Schema(schema)
