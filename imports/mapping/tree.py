"""YAML and JSON as plain values, read so that nothing is lost, guessed or multiplied on the way."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import yaml

from imports.mapping.mistake import Mistake, UnfitMapping

MAX_BYTES: Final = 524_288
MAX_DEPTH: Final = 64
MAX_VALUES: Final = 100_000
"""Values in a document with its aliases written out."""


def read_tree(text: str | bytes) -> Any:
    """The document's one value. JSON where it begins with { or [, else YAML. Raises UnfitMapping."""
    if len(text) > MAX_BYTES:
        raise _unfit(f"a document has at most {MAX_BYTES:,} bytes")
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as err:
            raise _unfit(f"the text is not UTF-8 at byte {err.start}") from None
    try:
        return _read_json(text) if text.lstrip()[:1] in ("{", "[") else _read_yaml(text)
    except RecursionError:
        raise _unfit(f"a document may be nested at most {MAX_DEPTH} levels deep") from None


def _read_json(text: str) -> Any:
    try:
        tree = json.loads(text, object_pairs_hook=_unique, parse_float=_double, parse_constant=_no_constant)
    except json.JSONDecodeError as err:
        raise _unfit(f"this is no JSON at line {err.lineno}, column {err.colno}: {err.msg}") from None
    except ValueError as err:
        raise _unfit(str(err)) from None
    _refuse_deep(tree, 0)
    return tree


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)} stands twice in one object")
    return members


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _double(text: str) -> float:
    """Only a schema may hold one, and only with the digits it says."""
    number = float(text)
    if Decimal(repr(number)) != Decimal(text):
        raise ValueError("a number has more digits than a double holds; write it in quotes")
    return number


def _refuse_deep(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise RecursionError
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _refuse_deep(inner, depth + 1)


class _Loader(yaml.SafeLoader):
    """YAML's plain scalars as JSON has them: true, false, null and numbers; NO is Norway and 2024-03-15 a text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        members: dict[str, Any] = {}
        for key, value in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str):
                raise _at(key, "a member's name is a text; write it in quotes")
            if name in members:
                raise _at(key, "this name stands twice in one object")
            members[name] = self.construct_object(value, deep=True)
        return members


def _construct_float(loader: _Loader, node: Any) -> float:
    try:
        return _double(node.value)
    except ValueError as err:
        raise _at(node, str(err)) from None


def _construct_integer(loader: _Loader, node: Any) -> int:
    try:
        return int(node.value)
    except ValueError:
        raise _at(node, "a whole number has at most 4300 digits") from None


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)\Z"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:null|~|)\Z"), ["n", "~", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"-?(?:0|[1-9][0-9]*)\Z"), list("-0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+][0-9]+)?\Z"),
    list("-0123456789"),
)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_integer)

_PLAIN: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null"))


def _read_yaml(text: str) -> Any:
    try:
        depth = values = 0
        for event in yaml.parse(text, Loader=_Loader):
            values += isinstance(event, yaml.NodeEvent)
            if values > MAX_VALUES:
                raise _unfit(f"a document has at most {MAX_VALUES:,} values")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise RecursionError
        node = yaml.compose(text, Loader=_Loader)
        if node is None:
            raise _unfit("the document is empty")
        _count(node, {}, set())
        loader = _Loader("")
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark
        place = "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"
        raise _unfit(f"this is no YAML that can be used{place}: {err.problem}") from None
    except yaml.YAMLError:
        raise _unfit("this is no YAML: it has characters that may not stand in it") from None


def _count(node: yaml.Node, known: dict[yaml.Node, int], open_nodes: set[yaml.Node]) -> int:
    """How many values stand below the node with aliases written out, without writing them out."""
    if node in open_nodes:
        raise _at(node, "an anchor holds itself")
    if node not in known:
        if node.tag not in _PLAIN:
            raise _at(node, "a value is a text, a number, true, false, null, a list or an object, without a tag")
        open_nodes.add(node)
        known[node] = 1 + sum(_count(inner, known, open_nodes) for inner in _inner(node))
        open_nodes.discard(node)
        if known[node] > MAX_VALUES:
            raise _at(node, f"with its aliases written out the document has more than {MAX_VALUES:,} values")
    return known[node]


def _inner(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _at(node: yaml.Node, message: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=message, problem_mark=node.start_mark)


def _unfit(message: str) -> UnfitMapping:
    return UnfitMapping([Mistake("", message)])
