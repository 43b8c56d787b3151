"""The last step of every field: a value becomes the field's data type, exactly or not at all."""

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from msgspec import Raw

from imports.mapping.number import as_json, exact, json_number
from imports.mapping.problem import Unfit

Cast = Callable[[Any], Any]

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})?"
)


def caster(data_type: str, values: tuple[str, ...] = ()) -> Cast:
    """The cast for a data type; it raises Unfit and is never given null."""
    if data_type == "enum":
        return _enum(frozenset(values))
    return _CASTS[data_type]


def string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(exact(value)))
    if isinstance(value, Raw):
        return bytes(value).decode()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date):
        return str(as_json(value))
    raise Unfit("wrong_type")


def integer(value: Any) -> int:
    if type(value) is int:
        return value
    number = exact(value)
    if number != number.to_integral_value():
        raise Unfit("wrong_type")
    return int(number)


def decimal(value: Any) -> int | Raw:
    if type(value) is int or isinstance(value, Raw):
        return value
    return json_number(exact(value))


def boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise Unfit("wrong_type")


def day(value: Any) -> str:
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if not isinstance(value, str):
        raise Unfit("wrong_type")
    # Of the forms that Python reads, only the one with two hyphens here has ten characters and is ours.
    if len(value) != 10 or value[4] != "-" or value[7] != "-":
        raise Unfit("not_a_date")
    try:
        date.fromisoformat(value)
    except ValueError:
        raise Unfit("not_a_date") from None
    return value


def moment(value: Any) -> str:
    if isinstance(value, datetime):
        return str(as_json(value))
    if not isinstance(value, str):
        raise Unfit("wrong_type")
    if not _TIME.fullmatch(value):
        raise Unfit("not_a_date")
    try:
        parsed = datetime.fromisoformat(re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", value))
    except ValueError:
        raise Unfit("not_a_date") from None
    if parsed.tzinfo is None:
        raise Unfit("zone_missing")
    return value


def instant(value: Any) -> date:
    """A date or point in time, or its text as ISO 8601; a point in time may still lack its zone."""
    if isinstance(value, date):
        return value
    if not isinstance(value, str):
        raise Unfit("wrong_type")
    try:
        if _DATE.fullmatch(value):
            return date.fromisoformat(value)
        if _TIME.fullmatch(value):
            return datetime.fromisoformat(re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", value))
    except ValueError:
        pass
    raise Unfit("not_a_date")


def many(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Unfit("wrong_type")
    return list(as_json(value))


def members(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unfit("wrong_type")
    return dict(as_json(value))


def _enum(values: frozenset[str]) -> Cast:
    def cast(value: Any) -> str:
        text = string(value)
        if text not in values:
            raise Unfit("not_in_enum")
        return text

    return cast


_CASTS: Final[dict[str, Cast]] = {
    "string": string,
    "integer": integer,
    "decimal": decimal,
    "boolean": boolean,
    "date": day,
    "datetime": moment,
    "list": many,
    "object": members,
}
