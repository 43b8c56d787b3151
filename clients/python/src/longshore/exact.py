"""JSON whose fractions keep their digits: Decimal in Python, and the same digits again when it is written."""

import json
import re
from decimal import Decimal
from typing import Any

# No text of a record holds NUL: the server refuses it.
_MARK = "\0"
_MARKED = re.compile(r'"\\u0000([^"]+)"')


def loads(text: bytes | str) -> Any:
    """Fractions and exponents come as Decimal."""
    return json.loads(text, parse_float=Decimal)


def dumps(value: Any) -> str:
    """One line, Decimal as a number."""
    return _MARKED.sub(r"\1", json.dumps(value, ensure_ascii=False, default=_marked))


def _marked(value: Any) -> str:
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} is no JSON.")
    return f"{_MARK}{value}"
