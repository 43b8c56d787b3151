"""Reading a record's values by path. A record is {id, type, attributes, customFields} as it came."""

from collections.abc import Callable
from typing import Any

from imports.mapping.path import EVERY, MISSING, Steps
from imports.mapping.problem import Unfit

Read = Callable[[Any], Any]


def reader(steps: Steps) -> Read:
    """The value at the path, or MISSING; with wildcards the flat list of all of them, MISSING where one is not there.

    Where the list of a wildcard itself is missing or null, so is the value. Raises Unfit("source_shape").
    """
    if EVERY not in steps:
        return _plain(steps)
    at = steps.index(EVERY)
    to_list, inner = _plain(steps[:at]), reader(steps[at + 1 :])
    is_nested = EVERY in steps[at + 1 :]

    def read(document: Any) -> Any:
        elements = listed(to_list(document))
        if elements is MISSING:
            return MISSING
        found: list[Any] = []
        for element in elements:
            value = inner(element)
            if not is_nested:
                found.append(value)
            elif value is not MISSING:
                found += value
        return found

    return read


def listed(value: Any) -> Any:
    """The list where a wildcard expects one, MISSING for null. Raises Unfit("source_shape")."""
    if type(value) is list:
        return value
    if value is None or value is MISSING:
        return MISSING
    raise Unfit("source_shape")


def _plain(steps: Steps) -> Read:
    def read(document: Any) -> Any:
        for step in steps:
            if type(step) is str:
                if type(document) is dict:
                    document = document.get(step, MISSING)
                    continue
            elif type(document) is list:
                document = document[step] if step < len(document) else MISSING  # type: ignore[index,operator]
                continue
            if document is None or document is MISSING:
                return MISSING
            raise Unfit("source_shape")
        return document

    return read
