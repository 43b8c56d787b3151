"""Paths into a record: attributes.addresses[0].city, attributes.items[*].sku, attributes."a name.with dots".

A name with anything but letters, digits, _, - and $ stands in double quotes, as a JSON string.
"""

import json
import re
from itertools import pairwise
from typing import Any, Final

from imports.mapping.problem import Unfit

EVERY: Final = None
Step = str | int | None
"""A member's name, a list's index, or EVERY element."""

Steps = tuple[Step, ...]


class Missing:
    """There is no member at the path, which is not the same as null."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()
MAX_INDEX: Final = 9_999

_STEP: Final = re.compile(r'(?:(?:^|\.)([\w$-]+|"(?:[^"\\]|\\.)*"))|\[(\d{1,5}|\*)\]', re.DOTALL)
_ROOTS: Final = ("id", "type", "attributes", "customFields")


def parse(text: str) -> Steps:
    """Raises ValueError, whose text says what to write."""
    steps: list[Step] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None or (at == 0 and text[0] == "["):
            raise ValueError(f'the path cannot be read from character {at + 1}; write it as attributes.items[0]."a b"')
        name, index = found.groups()
        if name is not None:
            steps.append(_unquote(name) if name.startswith('"') else name)
        else:
            steps.append(EVERY if index == "*" else int(index))
            if index != "*" and int(index) > MAX_INDEX:
                raise ValueError(f"a list's index is at most {MAX_INDEX}")
        at = found.end()
    if not steps or steps[0] not in _ROOTS:
        raise ValueError("a path begins with id, type, attributes or customFields")
    return tuple(steps)


def write(steps: Steps) -> str:
    """The path's text; parse(write(steps)) == steps."""
    text = ""
    for step in steps:
        if isinstance(step, str):
            name = step if re.fullmatch(r"[\w$-]+", step) else json.dumps(step, ensure_ascii=False)
            text += f".{name}" if text else name
        else:
            text += "[*]" if step is EVERY else f"[{step}]"
    return text


def pointer(steps: Steps) -> str:
    """The JSON Pointer (RFC 6901); EVERY stands as *."""
    return "".join("/" + ("*" if step is EVERY else str(step).replace("~", "~0").replace("/", "~1")) for step in steps)


def find(document: Any, steps: Steps) -> list[tuple[Steps, Any]]:
    """Each place that the path means, with its value or MISSING. Raises Unfit("source_shape")."""
    found: list[tuple[Steps, Any]] = [((), document)]
    for step in steps:
        inner: list[tuple[Steps, Any]] = []
        for place, value in found:
            if step is EVERY:
                if value is None or value is MISSING:
                    continue
                if not isinstance(value, list):
                    raise Unfit("source_shape")
                inner.extend(((*place, index), element) for index, element in enumerate(value))
            else:
                inner.append(((*place, step), _member(value, step)))
        found = inner
    return found


def put(document: dict[str, Any], steps: Steps, value: Any) -> bool:
    """Writes the value, making objects and lists on the way; False where something else stands in the way.

    An element of a list that nothing wrote is null.
    """
    here: Any = document
    for step, following in pairwise(steps):
        inner = _slot(here, step)
        if inner is None:
            inner = {} if isinstance(following, str) else []
            if not _set(here, step, inner):
                return False
        here = inner
    if _slot(here, steps[-1]) is not None:
        return False
    return _set(here, steps[-1], value)


def _unquote(name: str) -> str:
    try:
        return str(json.loads(name))
    except ValueError:
        raise ValueError("a quoted name is a JSON string; write \\\\ for a backslash") from None


def _member(value: Any, step: str | int) -> Any:
    if value is MISSING or value is None:
        return MISSING
    if isinstance(step, str):
        if isinstance(value, dict):
            return value.get(step, MISSING)
    elif isinstance(value, list):
        return value[step] if step < len(value) else MISSING
    raise Unfit("source_shape")


def _slot(here: Any, step: Step) -> Any:
    if isinstance(step, str):
        return here.get(step) if isinstance(here, dict) else None
    if isinstance(here, list) and step is not None and step < len(here):
        return here[step]
    return None


def _set(here: Any, step: Step, value: Any) -> bool:
    if isinstance(step, str):
        if not isinstance(here, dict):
            return False
        here[step] = value
    else:
        if not isinstance(here, list) or step is None:
            return False
        here.extend([None] * (step + 1 - len(here)))
        here[step] = value
    return True
