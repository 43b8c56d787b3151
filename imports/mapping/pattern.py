"""Patterns that users write, on an engine whose time is linear in the text."""

from typing import Any, Final

import re2

from imports.mapping.mistake import WrongArgument
from imports.mapping.problem import Unfit

MAX_PATTERN: Final = 1_000
MAX_TEXT: Final = 1_048_576


def pattern(source: str) -> Any:
    """A compiled pattern. Raises WrongArgument."""
    if len(source) > MAX_PATTERN:
        raise WrongArgument(f"a pattern has at most {MAX_PATTERN} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(source, options)
    except re2.error:
        raise WrongArgument(
            "this is no pattern of RE2; it has no look-around, no back-references and repeats at most 1000 times"
        ) from None


def bounded(text: str) -> str:
    """The text, unless it is over the limit. Raises Unfit."""
    if len(text) > MAX_TEXT:
        raise Unfit("text_too_long")
    return text
