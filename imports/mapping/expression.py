"""JSONata through jlens, with limits always on and no number that a double could have spoiled."""

import re
from typing import Any, Final

from jlens import Expression as Compiled
from jlens import JlensError

from imports.mapping.mistake import WrongArgument
from imports.mapping.number import from_expression
from imports.mapping.path import MISSING
from imports.mapping.problem import Unfit

MAX_SOURCE: Final = 10_000
MAX_RANGE: Final = 1_000
LIMITS: Final[dict[str, Any]] = {
    "timeout": 0.15,
    "max_depth": 100,
    "max_steps": 20_000,
    "max_string_length": 32_768,
    "max_array_length": 2_000,
    "max_result_size": 1_048_576,
    "now": 0,
    "seed": 0,
}
"""The engine bounds each value and not their sum: what bounds the memory is the steps and the time together."""

# A record gives the same result whenever it is mapped, and no code comes out of the data.
_FORBIDDEN: Final = re.compile(r"\$(now|millis|random|shuffle|eval)\b")
# The engine makes a range in full before it looks at its length: 240 MB for [1..9999999]. The bounds must be read off
# the source, so they are numbers alone between [ or , and ] or ,. Two points in a text are refused with the rest, since
# telling texts from patterns and divisions would take the engine's own parser.
_POINTS: Final = re.compile(r"\.\.")
_RANGE: Final = re.compile(r"[\[,]\s*(-?[0-9]{1,9})\s*\.\.\s*(-?[0-9]{1,9})\s*(?=[\],])")
_LIMIT_CODES: Final = ("D1011", "D1012", "U1")
_TIMEOUT: Final = "D1012"


class Expression:
    """One compiled expression. Raises WrongArgument where the source is no JSONata we run."""

    def __init__(self, source: str) -> None:
        if len(source) > MAX_SOURCE:
            raise WrongArgument(f"an expression has at most {MAX_SOURCE} characters")
        found = _FORBIDDEN.search(source)
        if found:
            raise WrongArgument(f"${found[1]} is not allowed: a record must map the same way every time")
        _refuse_wide_ranges(source)
        try:
            self._compiled = Compiled(source)
            self._exists = Compiled(f"$exists(({source}\n))")
        except JlensError as err:
            raise WrongArgument(f"no JSONata at character {err.position}: {err.code}") from None
        except UnicodeEncodeError:
            raise WrongArgument("half a surrogate pair is not a character") from None
        read = self._compiled.reads().get("input", {})
        self.reads: Any = read
        """True for the whole document, or a tree of the names that the expression reads."""

    def __call__(self, document: Any) -> Any:
        """The result with exact numbers, or MISSING. `document` comes from number.for_expression. Raises Unfit."""
        try:
            value = self._evaluate(document)
            if value is None and not self._exists.evaluate(document, **LIMITS):
                return MISSING
        except JlensError as err:
            code = "expression_limit" if err.code.startswith(_LIMIT_CODES) else "expression_failed"
            raise Unfit(code) from None
        return value if type(value) is str and "\0" not in value else from_expression(value)

    def _evaluate(self, document: Any) -> Any:
        try:
            return self._compiled.evaluate(document, **LIMITS)
        except JlensError as err:
            if err.code != _TIMEOUT:
                raise
            # By the clock, which runs also while a busy machine lets this process wait: once more.
            return self._compiled.evaluate(document, **LIMITS)


def _refuse_wide_ranges(source: str) -> None:
    ranges = _RANGE.findall(source)
    is_plain = len(ranges) == len(_POINTS.findall(source))
    if not is_plain or any(int(last) - int(first) >= MAX_RANGE for first, last in ranges):
        raise WrongArgument(
            f"a range has two whole numbers and at most {MAX_RANGE} items, as [1..12]; use $map for the places of a"
            ' list, and write two points in a text or pattern apart, as "." & "." or [.][.]'
        )
