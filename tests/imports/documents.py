"""JSON texts for property tests: written letter by letter, so that each may be spelled in any way that JSON allows.

A tree is what json.JSONDecoder(object_pairs_hook=Members) would read: objects keep members that stand twice.
"""

import json
from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

searching = settings(
    max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
"""The same examples in every run; a hunt for new ones is a matter of a larger number here."""


class Members(list[tuple[str, Any]]):
    """An object's members as they stand, doubled ones included."""


class Number(str):
    """A number's digits as they stand."""

    __slots__ = ()


SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
characters = st.sampled_from(
    [*"aAzZ09_.-~ \x7f/\\\"'<", "é", "\u0301", "\u2028", "\ufffd", "\uffff", "😀", "\U0010ffff"]
)
controls = st.sampled_from([chr(number) for number in range(1, 0x20)])
texts = st.text(characters | controls, max_size=5)
white_space = st.text(st.sampled_from(" \t\n\r"), max_size=3)
numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,4})?([eE][-+]?[0-9]{1,3})?", fullmatch=True).map(Number)
scalars = st.none() | st.booleans() | numbers | texts


def trees(leaves: SearchStrategy[Any] = scalars) -> SearchStrategy[Any]:
    """Any JSON value; members of an object may stand twice."""
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(texts, inner), max_size=3).map(Members),
        max_leaves=6,
    )


def spellings(tree: Any, *, spaced: bool = True) -> SearchStrategy[str]:
    """Ways to write the tree down: each character as it is, in its short escape or as \\uXXXX, and white space."""
    # One draw: letter by letter hypothesis takes a hundred times as long.
    return st.integers(0, 2**32).map(lambda seed: spell(tree, Random(seed), spaced=spaced))


def spell(tree: Any, random: Random, *, spaced: bool) -> str:
    def gap() -> str:
        return random.choice(("", "", " ", "\n", "\t \r\n")) if spaced else ""

    def text(value: str) -> str:
        return '"' + "".join(random.choice(spellings_of(character)) for character in value) + '"'

    def write(value: Any) -> str:
        if isinstance(value, Members):
            inner = ",".join(f"{gap()}{text(name)}{gap()}:{gap()}{write(member)}{gap()}" for name, member in value)
            return "{" + (inner or gap()) + "}"
        if isinstance(value, list):
            return "[" + (",".join(f"{gap()}{write(item)}{gap()}" for item in value) or gap()) + "]"
        if isinstance(value, Number):
            return str(value)
        return text(value) if isinstance(value, str) else json.dumps(value)

    return gap() + write(tree) + gap()


def spellings_of(character: str) -> list[str]:
    """Every way in which JSON lets one character stand in a string."""
    units = character.encode("utf-16-be", "surrogatepass")
    escaped = "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
    ways = [escaped, "\\u" + escaped[2:].upper().replace("\\U", "\\u")]
    if character in SHORT_ESCAPES:
        ways.append(SHORT_ESCAPES[character])
    if character not in '"\\' and character >= " ":
        ways.append(character)
    return ways


def plain(tree: Any) -> Any:
    """The tree as json.loads would give it, numbers as their digits."""
    if isinstance(tree, Members):
        return {name: plain(value) for name, value in tree}
    return [plain(item) for item in tree] if isinstance(tree, list) else tree


def has_doubled_member(tree: Any) -> bool:
    """True where any object of the tree names a member twice."""
    if isinstance(tree, Members):
        names = [name for name, _ in tree]
        return len(set(names)) < len(names) or any(has_doubled_member(value) for _, value in tree)
    return isinstance(tree, list) and any(has_doubled_member(item) for item in tree)
