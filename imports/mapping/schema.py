"""JSON Schema 2020-12 over the mapped record. Nothing is ever fetched, and patterns run in linear time."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final
from urllib.parse import unquote

import jsonschema_rs

from imports.mapping.mistake import WrongArgument
from imports.mapping.number import for_schema
from imports.mapping.problem import CODES, MAX_PROBLEMS, Problem

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
MAX_DEPTH: Final = 64
_NO_SCHEMAS: Final = ("const", "enum", "default", "examples")


class Schema:
    """One compiled schema. Raises WrongArgument where it is no schema we run."""

    def __init__(self, schema: dict[str, Any]) -> None:
        if schema.get("$schema", DRAFT) != DRAFT:
            raise WrongArgument(f"$schema must be {DRAFT} or be left out")
        _refuse_deep(schema, 0)
        _refuse_inner_resources(schema, is_root=True)
        _refuse_recursion(schema)
        try:
            self._validator = jsonschema_rs.Draft202012Validator(
                schema, validate_formats=True, offline=True, pattern_options=jsonschema_rs.RegexOptions()
            )
        except (ValueError, jsonschema_rs.ReferencingError):
            raise WrongArgument(
                "this is no JSON Schema 2020-12 that can be used: look for an unknown type, a reference that leads"
                " out of it, or a pattern with look-around"
            ) from None

    def check(self, mapped: dict[str, Any]) -> list[Problem]:
        """Every error, at most MAX_PROBLEMS, with its JSON Pointer and the keyword."""
        return self.check_view(for_schema(mapped))

    def check_view(self, document: dict[str, Any]) -> list[Problem]:
        """The same for a record whose numbers with a fraction are decimals."""
        if self._validator.is_valid(document):
            return []
        return list(islice(self._errors(document), MAX_PROBLEMS))

    def _errors(self, document: dict[str, Any]) -> Iterator[Problem]:
        for error in self._validator.iter_errors(document):
            place = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in error.instance_path)
            keyword = str(error.kind.name)
            code = "schema_" + re.sub(r"(?<!^)(?=[A-Z])", "_", keyword).lower()
            yield Problem(code, "", place, f"{CODES['schema']} Keyword: {keyword}.")


def _refuse_deep(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise WrongArgument(f"a schema may be nested at most {MAX_DEPTH} levels deep")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for member in inner:
        _refuse_deep(member, depth + 1)


def _refuse_inner_resources(value: Any, *, is_root: bool = False) -> None:
    """Below an $id of its own, #/$defs/NAME would mean another place than the one looked at for recursion."""
    if isinstance(value, dict):
        if not is_root and (isinstance(value.get("$id"), str) or value.get("$schema", DRAFT) != DRAFT):
            raise WrongArgument("$id and $schema stand at the top of a schema alone")
        for name, member in value.items():
            if name not in _NO_SCHEMAS:
                _refuse_inner_resources(member)
    elif isinstance(value, list):
        for member in value:
            _refuse_inner_resources(member)


def _refuse_recursion(schema: dict[str, Any]) -> None:
    """References may not lead in a circle, nor multiply: the engine has no limit of time."""
    cost = _Cost(schema).of(schema, ())
    if cost > 100_000:
        raise WrongArgument("the schema's references multiply beyond measure; use fewer of them")


class _Cost:
    """How many subschemas stand in a schema with its references written out."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._known: dict[str, int] = {}

    def of(self, value: Any, open_refs: tuple[str, ...]) -> int:
        if isinstance(value, list):
            return sum(self.of(member, open_refs) for member in value)
        if not isinstance(value, dict):
            return 0
        cost = 1
        for name, member in value.items():
            if name in ("$ref", "$dynamicRef") and isinstance(member, str):
                cost += self._reference(member, open_refs)
            elif name not in _NO_SCHEMAS and name != "$defs":
                cost += self.of(member, open_refs)
        return cost

    def _reference(self, reference: str, open_refs: tuple[str, ...]) -> int:
        if reference in open_refs:
            raise WrongArgument("a reference leads back to itself; schemas of records may not be recursive")
        if reference not in self._known:
            if not reference.startswith("#"):
                raise WrongArgument("a reference must stay inside the schema: write it as #/$defs/NAME")
            self._known[reference] = self.of(self._target(reference), (*open_refs, reference))
        return self._known[reference]

    def _target(self, reference: str) -> Any:
        if reference != "#" and not reference.startswith("#/"):
            raise WrongArgument("a reference is written as #/$defs/NAME")
        here: Any = self._root
        for step in reference[2:].split("/") if len(reference) > 1 else ():
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(here, list) and name.isdecimal() and name.isascii():
                here = here[int(name)] if int(name) < len(here) else None
            else:
                here = here.get(name) if isinstance(here, dict) else None
        if here is None:
            raise WrongArgument("a reference leads nowhere; it is written as #/$defs/NAME")
        return here
