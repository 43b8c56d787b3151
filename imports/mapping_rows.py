"""A version of a mapping as rows of the database, and as the frozen values that the engine compiles. Nothing is lost.

Two names meet here: `definition.Mapping` is what a mapping says, `models.Mapping` one version of it.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import UNSET

from imports.exact_json_field import decode, encode
from imports.mapping import definition
from imports.mapping.mistake import Mistake, UnfitMapping
from imports.models import FieldMapping, Mapping

# Column of FieldMapping: member of a field rule. `mask` is text that may be empty, all others may be UNSET.
_COLUMNS: Final = {
    "target": "target",
    "data_type": "type",
    "source": "source",
    "sources": "sources",
    "expression": "expression",
    "transforms": "transforms",
    "values": "values",
    "default": "default",
    "mandatory": "mandatory",
    "absent": "absent",
    "classification": "classification",
    "mask": "mask",
    "mask_pattern": "mask_pattern",
}
_TEXTS: Final = {"source": None, "expression": None, "mask": ""}
"""Columns of plain text, and how they say that there is none."""


def define(version: Mapping) -> definition.Mapping:
    """What the version says; its fields are read unless they were prefetched. Raises msgspec.ValidationError where
    another release wrote what this one does not know."""
    fields = [
        {member: value for column, member in _COLUMNS.items() if (value := _member(field, column)) is not UNSET}
        for field in sorted(version.fields.all(), key=lambda field: field.position)
    ]
    content = {
        "type": version.record_type,
        "fields": fields,
        "unmapped": version.unmapped,
        "ignored": version.ignored,
        "rules": version.rules,
    }
    if version.schema is not UNSET:
        content["schema"] = version.schema
    return msgspec.convert(content, definition.Mapping)


def fill(version: Mapping, meant: definition.Mapping) -> list[FieldMapping]:
    """Gives the version's columns what the mapping says, and returns its fields. Nothing is saved. Raises UnfitMapping
    for text that no database holds."""
    content = _content(meant)
    version.record_type = content["type"]
    version.unmapped, version.ignored, version.rules = content["unmapped"], content["ignored"], content["rules"]
    version.schema = content.get("schema", UNSET)
    return [
        FieldMapping(
            mapping=version,
            position=position,
            **{column: rule.get(member, _TEXTS.get(column, UNSET)) for column, member in _COLUMNS.items()},
        )
        for position, rule in enumerate(content["fields"])
    ]


def is_same(one: definition.Mapping, other: definition.Mapping) -> bool:
    """Whether both say the same; the order of members in a schema or a table says nothing."""
    return _sorted(one) == _sorted(other)


_sorted: Final = msgspec.json.Encoder(decimal_format="number", order="sorted").encode


def _member(field: FieldMapping, column: str) -> Any:
    value = getattr(field, column)
    return UNSET if column in _TEXTS and value == _TEXTS[column] else value


def _content(meant: definition.Mapping) -> dict[str, Any]:
    try:
        content: dict[str, Any] = decode(encode(meant).decode())
    except UnicodeEncodeError:
        raise UnfitMapping(
            [Mistake("", "half of a surrogate pair stands in its text; it is not a character")]
        ) from None
    places = [place for place, text in _texts(content, "") if "\0" in text]
    if places:
        raise UnfitMapping([Mistake(place, "the NUL character cannot be stored") for place in places])
    return content


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield place, name
            yield from _texts(member, f"{place}.{name}" if place else name)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _texts(member, f"{place}[{index}]")
