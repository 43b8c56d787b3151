"""What of a record expressions and schemas see: numbers as text for the ones, as decimals for the others."""

from collections.abc import Callable
from typing import Any

from msgspec import Raw

from imports.mapping.number import exact, for_expression

Narrow = Callable[[Any], Any]


def narrower(trees: list[Any]) -> Narrow:
    """From a record to what any of the trees of Expression.reads names in it; the rest is left out, not converted."""
    return _narrower(_union(trees))


def _union(trees: list[Any]) -> Any:
    """One tree for all; an empty one below the root is looked at for its kind or presence, so all of it is needed."""
    if any(tree is True for tree in trees):
        return True
    names = {name for tree in trees for name in tree}
    return {name: _union([tree[name] or True for tree in trees if name in tree]) for name in names}


def _narrower(tree: Any) -> Narrow:
    if tree is True:
        return for_expression
    inner = [(name, _narrower(below)) for name, below in tree.items()]

    def narrow(value: Any) -> Any:
        if type(value) is dict:
            return {name: below(value[name]) for name, below in inner if name in value}
        if type(value) is list:
            return [narrow(element) for element in value]
        return for_expression(value)

    return narrow


def schema_view(decimals: list[tuple[str, ...]]) -> Narrow:
    """From a mapped record to what its schema sees, where numbers with a fraction can stand at these places alone."""
    tree: dict[str, Any] = {}
    for names in decimals:
        node = tree
        for name in names[:-1]:
            node = node.setdefault(name, {})
        node[names[-1]] = None
    return (lambda mapped: _with_decimals(mapped, tree)) if tree else (lambda mapped: mapped)


def _with_decimals(value: dict[str, Any], tree: dict[str, Any]) -> dict[str, Any]:
    seen = value
    for name, below in tree.items():
        member: Any = value.get(name)
        kind = type(member)
        if below is None:
            if kind is not Raw:
                continue
            member = exact(member)
        elif kind is not dict or (after := _with_decimals(member, below)) is member:
            continue
        else:
            member = after
        if seen is value:
            seen = value.copy()
        seen[name] = member
    return seen
