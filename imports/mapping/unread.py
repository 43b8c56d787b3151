"""What of a record no rule reads, so that nothing is left out in silence."""

from collections.abc import Iterator
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

    def known(self, part: str) -> tuple[frozenset[str], bool]:
        """(names right below the part that are read whole, whether everything below it is)."""
        node = self._root.members.get(part, Node())
        return (
            frozenset(name for name, member in node.members.items() if isinstance(name, str) and member.is_whole),
            node.is_whole or self._root.is_whole,
        )

    def unread(self, document: dict[str, Any]) -> Iterator[tuple[Steps, Any]]:
        """Each topmost place that no rule reads, with its value, in the record's order."""
        if self._root.is_whole:
            return
        for part in PARTS:
            node = self._root.members.get(part, Node())
            if not node.is_whole:
                for name, value in document[part].items():
                    yield from _below((part, name), value, _inner([node], name))


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
