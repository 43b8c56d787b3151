"""What an event may say beside its columns: ids, codes, counts and flags; never a sentence, never a payload.

The trail can neither be edited nor erased, so personal data that slipped in would stay for ever. A machine
cannot tell a surname from a code, but it can refuse every shape that personal data and payloads usually have:
e-mail addresses (`@`), full names, texts and postal addresses (white space, letters outside ASCII), JSON,
quoted values, long tokens and our own secrets. What is refused is never quoted in the message.
"""

import re
from collections.abc import Mapping, Sequence

DetailScalar = str | int | bool | None
DetailValue = DetailScalar | Sequence[DetailScalar]

MAX_MEMBERS = 20
MAX_ITEMS = 50
MAX_TOKEN = 64

_KEY = re.compile(r"[a-z][a-z_]{0,39}")
_TOKEN = re.compile(rf"(?!lsk_)[A-Za-z0-9_.:/-]{{1,{MAX_TOKEN}}}")
_ACTION = re.compile(r"(?=.{3,60}$)[a-z_]+(\.[a-z_]+)+")
_TARGET = re.compile(r"[a-z_]{1,40}:(?!lsk_)[A-Za-z0-9_.:/-]{1,100}")
_INTEGER_LIMIT = 2**63


class UnsafeEventError(ValueError):
    """The event names something the trail must not hold. Record an id, a code or a count in its place."""

    code = "audit_unsafe_event"


def check_action(action: str) -> str:
    """`noun.verb` in lower case, such as `import.accepted`."""
    if not _ACTION.fullmatch(action):
        raise UnsafeEventError("An action is lower-case words joined by dots, such as import.accepted.")
    return action


def check_target(target: str) -> str:
    """`kind:id`, such as `import:0b9c…` or `customer:acme`."""
    if not _TARGET.fullmatch(target):
        raise UnsafeEventError(
            "A target is kind:id, such as customer:acme; an id holds A-Z a-z 0-9 _ . : / - and no more."
        )
    return target


def check_detail(detail: Mapping[str, DetailValue]) -> dict[str, DetailValue]:
    """A copy that can be stored, or UnsafeEventError."""
    if len(detail) > MAX_MEMBERS:
        raise UnsafeEventError(f"An event's detail has at most {MAX_MEMBERS} members.")
    checked: dict[str, DetailValue] = {}
    for key, value in detail.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise UnsafeEventError("A key of an event's detail is a lower-case word, such as batch_count.")
        checked[key] = _check_value(key, value)
    return checked


def _check_value(key: str, value: DetailValue) -> DetailValue:
    if isinstance(value, list | tuple):
        if len(value) > MAX_ITEMS:
            raise UnsafeEventError(f"{key}: a list in an event's detail has at most {MAX_ITEMS} items.")
        return [_check_scalar(key, item) for item in value]
    return _check_scalar(key, value)


def _check_scalar(key: str, value: object) -> DetailScalar:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
            raise UnsafeEventError(f"{key}: a number in an event's detail has at most 64 bits.")
        return value
    if isinstance(value, str) and _TOKEN.fullmatch(value):
        return value
    raise UnsafeEventError(
        f"{key}: an event's detail holds whole numbers, true, false, null and ids of at most {MAX_TOKEN} "
        "characters out of A-Z a-z 0-9 _ . : / -, alone or in a flat list."
    )
