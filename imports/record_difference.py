"""What differs between two forms of one record, member by member. Pure."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from imports.checking import encode

MAX_CHANGES: Final = 1_000
"""A record with more of them is told as whole members: a hostile one differs in hundreds of thousands of places."""
MAX_POINTER_LENGTH: Final = 1_000

_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Raw).decode


class Change(Struct, frozen=True, gc=False):
    """A JSON Pointer (RFC 6901) and the values there, exact to the digit. UNSET, and left out of JSON, where there is
    none: a member that is added has no `before`, one that goes has no `after`."""

    pointer: str
    before: Any | UnsetType = UNSET
    after: Any | UnsetType = UNSET


def changes_between(before: bytes, after: bytes) -> list[Change]:
    """The deepest places that differ, in the order of the members' names; lists of unequal length are taken whole.

    Both are canonical JSON objects, as imports.checking.encode writes them. Where there are more than MAX_CHANGES, each
    member of the record that differs is one. An object is taken whole where a pointer into it would be longer than
    MAX_POINTER_LENGTH.
    """
    old, new = _decode(before), _decode(after)
    found = list(islice(_walk(old, new, ""), MAX_CHANGES + 1))
    if len(found) <= MAX_CHANGES:
        return found
    return [
        change for name in _names(old, new) for change in _whole(old.get(name, UNSET), new.get(name, UNSET), f"/{name}")
    ]


def all_of(after: bytes) -> list[Change]:
    """Of a record that was not there: all of it is new."""
    return [Change("", after=Raw(after))]


def _walk(old: Any, new: Any, pointer: str) -> Iterator[Change]:
    if isinstance(old, dict) and isinstance(new, dict):
        inner = {name: f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}" for name in _names(old, new)}
        if any(len(place) > MAX_POINTER_LENGTH for place in inner.values()):
            yield from _whole(old, new, pointer)
            return
        for name, place in inner.items():
            yield from _walk(old.get(name, UNSET), new.get(name, UNSET), place)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (value, other) in enumerate(zip(old, new, strict=True)):
            yield from _walk(value, other, f"{pointer}/{index}")
    else:
        yield from _whole(old, new, pointer)


def _whole(old: Any, new: Any, pointer: str) -> Iterator[Change]:
    # As text: to Python true is 1, and 1 is 1.0.
    if old is UNSET or new is UNSET or encode(old) != encode(new):
        yield Change(pointer, old, new)


def _names(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return sorted(old.keys() | new.keys())
