"""Short ways to map one record in a test."""

from typing import Any

import msgspec

from imports import checking
from imports.mapping.compiled import CompiledMapping, Unmapped, compile_mapping
from imports.mapping.definition import FieldRule, Mapping
from imports.mapping.mistake import UnfitMapping


def rule(target: str, source: str | None = None, /, *, type: str = "string", **members: Any) -> FieldRule:
    """A field rule whose paths lie under attributes unless they say otherwise."""
    if source is not None:
        members["source"] = under(source)
    if "sources" in members:
        members["sources"] = [under(text) for text in members["sources"]]
    if "transforms" in members:
        members["transforms"] = [{"name": one} if isinstance(one, str) else one for one in members["transforms"]]
    return msgspec.convert({"target": under(target), "type": type, **members}, FieldRule)


def under(path: str) -> str:
    return path if path.startswith(("attributes", "customFields", "id", "type")) else f"attributes.{path}"


def mapping(*fields: FieldRule, unmapped: Any = "drop", type: str = "customer", **members: Any) -> CompiledMapping:
    return compile_mapping(Mapping(type=type, fields=fields, unmapped=unmapped, **members))


def mistakes(*fields: FieldRule, **members: Any) -> list[str]:
    """The places of what is wrong with a mapping; none where it can be used."""
    try:
        mapping(*fields, **members)
    except UnfitMapping as err:
        return [mistake.place for mistake in err.mistakes]
    return []


def run(compiled: CompiledMapping, attributes: Any, custom_fields: Any = None, missing: list[int] | None = None) -> Any:
    """What becomes of the record: its parts as exact JSON, customFields only where there are any.

    The parts are given as JSON text or as values; each goes through the reader of bodies.
    """
    raw = b'{"id":"C-1","type":"%s","attributes":%s,"customFields":%s}' % (
        compiled.mapping.type.encode(),
        _json(attributes),
        _json(custom_fields or {}),
    )
    record, _ = checking.read(raw)
    counters = [0] * len(compiled.targets) if missing is None else missing
    mapped, custom = compiled(record.id, record.type, record.attributes, record.customFields or {}, counters)
    return exactly((mapped, custom) if custom else mapped)


def problems(compiled: CompiledMapping, attributes: Any, custom_fields: Any = None) -> list[tuple[str, str, str]]:
    """(code, pointer, target) of each problem; none where the record fits."""
    try:
        run(compiled, attributes, custom_fields)
    except Unmapped as err:
        return [(found.code, found.pointer, found.target) for found in err.problems]
    return []


def exactly(value: Any) -> Any:
    """With Raw numbers as ("number", their digits)."""
    if isinstance(value, msgspec.Raw):
        return "number", bytes(value).decode()
    if isinstance(value, dict):
        return {name: exactly(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(exactly(member) for member in value)
    return value


def _json(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)
