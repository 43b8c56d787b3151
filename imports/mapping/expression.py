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
LIMITS: Final[dict[str, Any]] = {
    "timeout": 0.5,
    "max_depth": 100,
    "max_steps": 100_000,
    "max_string_length": 1_048_576,
    "max_array_length": 100_000,
    "max_result_size": 1_048_576,
    "now": 0,
    "seed": 0,
}

# A record gives the same result whenever it is mapped, and no code comes out of the data.
_FORBIDDEN: Final = re.compile(r"\$(now|millis|random|shuffle|eval)\b")
_LIMIT_CODES: Final = ("D1", "U1")


class Expression:
    """One compiled expression. Raises WrongArgument where the source is no JSONata we run."""

    def __init__(self, source: str) -> None:
        if len(source) > MAX_SOURCE:
            raise WrongArgument(f"an expression has at most {MAX_SOURCE} characters")
        found = _FORBIDDEN.search(source)
        if found:
            raise WrongArgument(f"${found[1]} is not allowed: a record must map the same way every time")
        try:
            self._compiled = Compiled(source)
            self._exists = Compiled(f"$exists(({source}\n))")
        except JlensError as err:
            raise WrongArgument(f"no JSONata at character {err.position}: {err.code}") from None
        read = self._compiled.reads().get("input", {})
        self.reads: Any = read
        """True for the whole document, or a tree of the names that the expression reads."""

    def __call__(self, document: Any) -> Any:
        """The result with exact numbers, or MISSING. `document` comes from number.for_expression. Raises Unfit."""
        try:
            value = self._compiled.evaluate(document, **LIMITS)
            if value is None and not self._exists.evaluate(document, **LIMITS):
                return MISSING
        except JlensError as err:
            code = "expression_limit" if err.code.startswith(_LIMIT_CODES) else "expression_failed"
            raise Unfit(code) from None
        return value if type(value) is str else from_expression(value)
