"""Mappings as files: YAML or JSON. What is read can be compiled, and what is written reads back as the same."""

import json
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec
import yaml
from msgspec import NODEFAULT, Struct

from imports.mapping.compiled import compile_mapping
from imports.mapping.definition import FieldRule, Mapping, MaskPattern, RecordRule, Transform
from imports.mapping.mistake import Mistake, UnfitMapping
from imports.mapping.transforms.registry import step_arguments
from imports.mapping.tree import read_tree

Owned = tuple[str | None, Mapping]
"""(the customer's slug, or None for every customer without a mapping of its own; the mapping)."""

MAX_MAPPINGS: Final = 1_000
_LINE_ENDS: Final = "\r\x85\u2028\u2029"


def load(text: str | bytes) -> list[Owned]:
    """The mappings of a document, in its order. Raises UnfitMapping with every mistake and its place."""
    tree = read_tree(text)
    mistakes: list[Mistake] = []
    if not isinstance(tree, dict) or set(tree) != {"mappings"} or not isinstance(tree["mappings"], list):
        raise UnfitMapping([Mistake("", "a document is one object with the one member mappings, a list")])
    if len(tree["mappings"]) > MAX_MAPPINGS:
        raise UnfitMapping([Mistake("mappings", f"a document has at most {MAX_MAPPINGS} mappings")])
    found: dict[tuple[str | None, str], Mapping] = {}
    for index, member in enumerate(tree["mappings"]):
        place = f"mappings[{index}]"
        customer, rest = _split_customer(member, place, mistakes)
        known = len(mistakes)
        mapping = _struct(Mapping, rest, place, mistakes)
        if mapping is None or len(mistakes) > known:
            continue
        try:
            compile_mapping(mapping)
        except UnfitMapping as err:
            mistakes += [Mistake(f"{place}.{mistake.place}", mistake.message) for mistake in err.mistakes]
        if (customer, mapping.type) in found:
            mistakes.append(Mistake(place, "a mapping of this customer and type stands further up already"))
        found[customer, mapping.type] = mapping
    if mistakes:
        raise UnfitMapping(mistakes)
    return [(customer, mapping) for (customer, _), mapping in found.items()]


def dump(mappings: list[Owned], *, format: Literal["yaml", "json"] = "yaml") -> str:
    """The document of the mappings in their order, without what is as it would be anyway; load reads it back."""
    tree = {
        "mappings": [
            ({} if customer is None else {"customer": customer}) | _members(mapping) for customer, mapping in mappings
        ]
    }
    if format == "json":
        return json.dumps(tree, ensure_ascii=False, indent=2) + "\n"
    text: str = yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


class _Dumper(yaml.SafeDumper):
    """Writes out what stands twice, in place of anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Line ends other than LF would not come back from a text without double quotes."""
    style = '"' if any(letter in _LINE_ENDS for letter in text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)


def _split_customer(member: Any, place: str, mistakes: list[Mistake]) -> tuple[str | None, Any]:
    if not isinstance(member, dict) or "customer" not in member:
        return None, member
    customer = member["customer"]
    if not isinstance(customer, str) or not customer:
        mistakes.append(Mistake(f"{place}.customer", "a customer is named by its slug; leave it out to mean every one"))
        customer = None
    return customer, {name: value for name, value in member.items() if name != "customer"}


def _struct(kind: type[Struct], value: Any, place: str, mistakes: list[Mistake]) -> Any:
    """The struct, or None where its members do not fit; each of them is looked at."""
    if not isinstance(value, dict):
        mistakes.append(Mistake(place, "this is an object with members"))
        return None
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    mistakes += [
        Mistake(f"{place}.{name}", f"no such member; there are {', '.join(fields)}")
        for name in value
        if name not in fields
    ]
    members, is_whole = {}, True
    for name, field in fields.items():
        if name in value:
            known = len(mistakes)
            parse = _PARSED.get((kind, name))
            if parse is not None:
                members[name] = parse(value[name], f"{place}.{name}", mistakes)
            else:
                members[name] = _converted(value[name], field.type, f"{place}.{name}", mistakes)
            is_whole &= len(mistakes) == known
        elif field.default is NODEFAULT and field.default_factory is NODEFAULT:
            mistakes.append(Mistake(f"{place}.{name}", "this member is required"))
            is_whole = False
    return kind(**members) if is_whole else None


def _converted(value: Any, kind: Any, place: str, mistakes: list[Mistake]) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as err:
        mistakes.append(Mistake(place, str(err)))
        return None


def _each(parse: Callable[[Any, str, list[Mistake]], Any]) -> Callable[[Any, str, list[Mistake]], Any]:
    def parse_list(value: Any, place: str, mistakes: list[Mistake]) -> Any:
        if not isinstance(value, list):
            mistakes.append(Mistake(place, "this is a list"))
            return ()
        return tuple(parse(element, f"{place}[{index}]", mistakes) for index, element in enumerate(value))

    return parse_list


def _step(value: Any, place: str, mistakes: list[Mistake]) -> Any:
    """A transform is its name alone, or one member: its name, with its arguments."""
    if isinstance(value, str):
        return Transform(value)
    if not isinstance(value, dict) or len(value) != 1 or not isinstance(next(iter(value.values())), dict):
        mistakes.append(Mistake(place, "a transform is written as trim, or as replace: {text: a, by: b}"))
        return None
    ((name, given),) = value.items()
    arguments = dict(given)
    for inner in step_arguments(name):
        if inner in arguments:
            steps = _each(_step)(arguments[inner], f"{place}.{inner}", mistakes)
            arguments[inner] = [msgspec.to_builtins(step) for step in steps if step is not None]
    return Transform(name, arguments)


_PARSED: Final[dict[tuple[type[Struct], str], Callable[[Any, str, list[Mistake]], Any]]] = {
    (Mapping, "fields"): _each(lambda value, place, mistakes: _struct(FieldRule, value, place, mistakes)),
    (Mapping, "rules"): _each(lambda value, place, mistakes: _struct(RecordRule, value, place, mistakes)),
    (FieldRule, "transforms"): _each(_step),
    (FieldRule, "mask_pattern"): lambda value, place, mistakes: _struct(MaskPattern, value, place, mistakes),
}


def _members(struct: Struct) -> dict[str, Any]:
    """The members that are not as they would be anyway."""
    members = {}
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if field.default is not NODEFAULT and type(value) is type(field.default) and value == field.default:
            continue
        members[field.name] = _written(value)
    return members


def _written(value: Any) -> Any:
    if isinstance(value, Transform):
        return _written_step(value.name, value.arguments)
    if isinstance(value, Struct):
        return _members(value)
    if isinstance(value, tuple):
        return [_written(element) for element in value]
    return value


def _written_step(name: str, arguments: dict[str, Any]) -> Any:
    if not arguments:
        return name
    inner = step_arguments(name)
    return {
        name: {
            argument: [_written_step(step["name"], step.get("arguments", {})) for step in value]
            if argument in inner
            else value
            for argument, value in arguments.items()
        }
    }
