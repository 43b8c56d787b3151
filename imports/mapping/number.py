"""Exact numbers. A number with a fraction is msgspec.Raw text in a record (decision 0010) and Decimal in here."""

import re
from datetime import date, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow, Underflow
from typing import Any, Final

from msgspec import Raw

from imports.mapping.path import MISSING
from imports.mapping.problem import Unfit

MAX_DIGITS: Final = 400
MAX_PLAIN: Final = 100
MAX_EXACT_DIGITS: Final = 15
"""What a double carries without loss, whatever the digits are."""
MAX_SAFE: Final = 2**53

EXACT: Final = Context(prec=MAX_DIGITS, traps=[Inexact, InvalidOperation, Overflow, Underflow])
"""Arithmetic that raises where a digit would be lost."""

_PLAIN: Final = frozenset((str, int, bool, type(None)))
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,9})?")


def exact(value: Any) -> Decimal:
    """An int, a Raw number, a Decimal or a number's text, without loss. Raises Unfit."""
    if type(value) is Raw and len(text := str(value, "ascii")) <= MAX_PLAIN and "e" not in text and "E" not in text:
        return Decimal(text)
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, bool):
        raise Unfit("wrong_type")
    elif isinstance(value, int):
        if abs(value).bit_length() > MAX_DIGITS * 3.33:
            raise Unfit("number_out_of_range")
        number = Decimal(value)
    elif isinstance(value, Raw | str):
        text = bytes(value).decode() if isinstance(value, Raw) else value
        if len(text) > 2 * MAX_DIGITS:
            raise Unfit("number_out_of_range")
        if not _NUMBER.fullmatch(text):
            raise Unfit("not_a_number" if isinstance(value, str) else "number_out_of_range")
        number = Decimal(text)
    else:
        raise Unfit("wrong_type")
    if not number.is_finite() or len(number.as_tuple().digits) > MAX_DIGITS or abs(number.adjusted()) > MAX_DIGITS:
        raise Unfit("number_out_of_range")
    return number


def json_number(number: Decimal) -> int | Raw:
    """As it stands in a record: whole numbers without a fraction are ints, all others their text."""
    if number.as_tuple().exponent == 0:
        return int(number)
    return Raw(str(number).encode())


def from_expression(value: Any) -> Any:
    """JSONata's result with every double turned into the decimal it stands for. Raises Unfit."""
    if isinstance(value, str):
        if "\0" in value:
            raise Unfit("expression_failed")
        return value
    if isinstance(value, float):
        number = Decimal(repr(value))
        if not number.is_finite() or len(number.normalize().as_tuple().digits) > MAX_EXACT_DIGITS:
            raise Unfit("number_not_exact")
        return number
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**MAX_EXACT_DIGITS:
        raise Unfit("number_not_exact")
    if isinstance(value, dict):
        return {from_expression(name): from_expression(member) for name, member in value.items()}
    if isinstance(value, list):
        return [from_expression(member) for member in value]
    return value


def for_expression(value: Any) -> Any:
    """A record's value with all that a double could spoil as text: fractions, and integers beyond 2^53."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if kind is int:
        return value if -MAX_SAFE <= value <= MAX_SAFE else _digits(value)
    if kind is dict:
        return {name: for_expression(member) for name, member in value.items()}
    if kind is list:
        return [for_expression(member) for member in value]
    return bytes(value).decode() if kind is Raw else str(value)


def for_schema(value: Any) -> Any:
    """A mapped value with its Raw numbers as Decimal, which the schema's engine compares exactly; shares the rest."""
    kind = type(value)
    if kind is Raw:
        return exact(value)
    if kind is dict:
        changed = {
            name: after
            for name, member in value.items()
            if type(member) not in _PLAIN and (after := for_schema(member)) is not member
        }
        return value | changed if changed else value
    return [for_schema(member) for member in value] if kind is list else value


def as_json(value: Any) -> Any:
    """A value from a step as it may stand in a record, where what is missing in a list is null. Raises Unfit."""
    if value is MISSING:
        return None
    if isinstance(value, Decimal):
        return json_number(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise Unfit("zone_missing")
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: as_json(member) for name, member in value.items()}
    if isinstance(value, list):
        return [as_json(member) for member in value]
    return value


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:
        raise Unfit("number_out_of_range") from None
