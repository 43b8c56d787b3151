"""Texts and numbers that stand in a mapping itself."""

from typing import Any, Final

import msgspec

from imports.mapping.mistake import Mistake

MAX_DEPTH: Final = 64


def literal_mistakes(value: Any, place: str, depth: int = 0) -> list[Mistake]:
    """Texts that no record could hold, numbers that a double could have spoiled, and what is nested too deeply."""
    if depth > MAX_DEPTH:
        return [Mistake(place, f"a mapping may be nested at most {MAX_DEPTH} levels deep")]
    if isinstance(value, str):
        return [Mistake(place, "a text has neither NUL nor half a surrogate pair")] if _is_broken(value) else []
    if isinstance(value, float):
        return [Mistake(place, "write a number with a fraction in quotes, so that it keeps its digits")]
    if isinstance(value, msgspec.Struct):
        value = {name: getattr(value, name) for name in value.__struct_fields__}
    found = []
    if isinstance(value, dict):
        for name, member in value.items():
            found += literal_mistakes(name, place) + literal_mistakes(member, f"{place}.{name}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, element in enumerate(value):
            found += literal_mistakes(element, f"{place}[{index}]", depth + 1)
    return found


def _is_broken(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return "\0" in text
