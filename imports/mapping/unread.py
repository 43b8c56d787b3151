"""What of a record no rule reads, so that nothing is left out in silence."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from imports.mapping.path import EVERY, Step, Steps

PARTS = ("attributes", "customFields")


@dataclass(slots=True)
class Node:
    """A place on the way to what is read. `is_whole`: all below it is read.

    `is_looked_at`: a rule would see a plain value here and refuse its shape; what is only ignored looks at nothing.
    `is_expression`: a step of JSONata, which looks into each element of a list by itself.
    """

    members: dict[Step, "Node"] = field(default_factory=dict)
    is_whole: bool = False
    is_looked_at: bool = False
    is_expression: bool = False


class Reads:
    """The places that a mapping's sources, expressions and `ignored` name."""

    def __init__(self) -> None:
        self._root = Node()

    def add(self, steps: Steps) -> None:
        node = self._root
        for step in steps:
            node = node.members.setdefault(step, Node())
            node.is_looked_at = True
        node.is_whole = True

    def ignore(self, steps: Steps) -> None:
        node = self._root
        for step in steps:
            node = node.members.setdefault(step, Node())
        node.is_whole = True

    def add_expression(self, tree: Any) -> None:
        """`tree` is Expression.reads: True, or names and what is read below them."""
        _add_tree(self._root, tree)

    def prepare(self) -> None:
        """To be called once, after the last addition and before are_all."""
        parts = [self._root.members.get(part, Node()) for part in PARTS]
        if self._root.is_whole:
            parts = [Node(is_whole=True), Node(is_whole=True)]
        self._attributes, self._custom_fields = map(_checker, parts)

    def are_all(self, attributes: dict[str, Any], custom_fields: dict[str, Any]) -> bool:
        """Whether nothing is unread. False may also mean that only `unread` can tell."""
        return self._attributes(attributes) and self._custom_fields(custom_fields)

    def unread(self, document: dict[str, Any]) -> Iterator[tuple[Steps, Any]]:
        """Each topmost place that no rule reads, with its value, in the record's order."""
        if self._root.is_whole:
            return
        for part in PARTS:
            node = self._root.members.get(part, Node())
            if not node.is_whole:
                for name, value in document[part].items():
                    yield from _below((part, name), value, _inner([node], name))


def _checker(node: Node) -> Callable[[Any], bool]:
    """Whether all of a value is read; False where the quick look cannot tell."""
    if node.is_whole:
        return lambda value: True
    names = frozenset(name for name in node.members if isinstance(name, str))
    inner = [
        (name, _checker(member))
        for name, member in node.members.items()
        if isinstance(name, str) and not member.is_whole
    ]
    every = node.members.get(EVERY)
    element = None if every is None else _checker(every)

    def check(value: Any) -> bool:
        if type(value) is dict:
            if not names.issuperset(value):
                return False
            return all(below(value[name]) for name, below in inner if name in value)
        if type(value) is list:
            return element is not None and all(map(element, value))
        return value is None

    if not inner and element is None:
        return lambda value: type(value) is dict and names.issuperset(value)
    return check


def _add_tree(node: Node, tree: Any) -> None:
    if tree is True:
        node.is_whole = True
        return
    node.is_expression = node.is_looked_at = True
    for name, inner in tree.items():
        _add_tree(node.members.setdefault(name, Node()), inner)


def _inner(nodes: list[Node], step: Step) -> list[Node]:
    return [node.members[step] for node in nodes if step in node.members]


def _below(place: Steps, value: Any, nodes: list[Node]) -> Iterator[tuple[Steps, Any]]:
    if not nodes:
        yield place, value
        return
    if any(node.is_whole for node in nodes):
        return
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _below((*place, name), member, _inner(nodes, name))
    elif isinstance(value, list):
        through = [node for node in nodes if node.is_expression]
        for index, element in enumerate(value):
            reading = [*_inner(nodes, index), *_inner(nodes, EVERY), *through]
            yield from _below((*place, index), element, reading)
    elif value is not None and not any(node.is_looked_at for node in nodes):
        yield place, value
