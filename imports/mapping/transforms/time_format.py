"""Formats of dates and times: the directives of strftime, read strictly and written the same on every host."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import Any, Final

from imports.mapping.mistake import WrongArgument
from imports.mapping.problem import Unfit
from imports.mapping.transforms.locale import locale_of

MAX_FORMAT: Final = 100

DIRECTIVES: Final = {
    "Y": "year, four digits",
    "y": "year, two digits: 69 to 99 are 1969 to 1999, 00 to 68 are 2000 to 2068",
    "m": "month, two digits (%-m: one or two)",
    "B": "month's name in the locale",
    "b": "month's short name in the locale",
    "d": "day, two digits (%-d: one or two)",
    "j": "day of the year, three digits",
    "A": "weekday's name in the locale, which must be the date's",
    "a": "weekday's short name in the locale, which must be the date's",
    "H": "hour, 00 to 23 (%-H: one or two digits)",
    "I": "hour, 01 to 12, with %p (%-I: one or two digits)",
    "p": "AM or PM",
    "M": "minute",
    "S": "second",
    "f": "fraction of a second, one to six digits; written with six",
    "z": "offset: Z, +0100 or +01:00; written as +01:00 or Z",
    "%": "a percent sign",
}

_PATTERNS: Final = {
    "Y": "[0-9]{4}",
    "y": "[0-9]{2}",
    "m": "[0-9]{2}",
    "d": "[0-9]{2}",
    "j": "[0-9]{3}",
    "H": "[0-9]{2}",
    "I": "[0-9]{2}",
    "p": "[AaPp][Mm]",
    "M": "[0-9]{2}",
    "S": "[0-9]{2}",
    "f": "[0-9]{1,6}",
    "z": "[Zz]|[+-][0-9]{2}:?[0-9]{2}",
}
_SHORT: Final = frozenset("mdHI")
_DIRECTIVE: Final = re.compile(r"%(-?)(.?)", re.DOTALL)
_EXCLUDING: Final = ("Yy", "mBbj", "dj", "Aa", "HI")


@dataclass(frozen=True, slots=True)
class Moment:
    """What a text said."""

    day: date
    time: time
    offset: tzinfo | None


@dataclass(frozen=True, slots=True)
class Reader:
    """A text's date and time in one format, or None where the text has another form."""

    has_time: bool
    has_offset: bool
    _pattern: re.Pattern[str]
    _names: dict[str, dict[str, int]]

    def __call__(self, text: str) -> Moment | None:
        found = self._pattern.fullmatch(text)
        if found is None:
            return None
        parts = found.groupdict()
        try:
            return Moment(self._day(parts), _time(parts), _offset(parts.get("z")))
        except (ValueError, OverflowError, KeyError):
            # KeyError: a letter that only looks the same without its case, such as a long s.
            return None

    def _day(self, parts: dict[str, str]) -> date:
        if "Y" in parts:
            year = int(parts["Y"])
        else:
            year = int(parts["y"])
            year += 1900 if year >= 69 else 2000
        if "j" in parts:
            number = int(parts["j"])
            day = date(year, 1, 1) + timedelta(days=number - 1)
            if number < 1 or day.year != year:
                raise ValueError("no such day of the year")
        else:
            day = date(year, self._month(parts), int(parts["d"]))
        for letter in "Aa":
            if letter in parts and self._names[letter][parts[letter].casefold()] != day.weekday():
                raise ValueError("another weekday")
        return day

    def _month(self, parts: dict[str, str]) -> int:
        if "m" in parts:
            return int(parts["m"])
        letter = "B" if "B" in parts else "b"
        return self._names[letter][parts[letter].casefold()]


def reader(format: str, locale: str) -> Reader:
    """Raises WrongArgument."""
    names = _names(locale)
    pattern, seen = "", ""
    for literal, flag, letter in _pieces(format):
        pattern += re.escape(literal)
        if letter == "%":
            pattern += "%"
        elif letter:
            seen += letter
            inner = _PATTERNS.get(letter) or "|".join(re.escape(name) for name in sorted(names[letter], key=len)[::-1])
            pattern += f"(?P<{letter}>{'[0-9]{1,2}' if flag else inner})"
    if len(set(seen)) != len(seen) or any(sum(letter in seen for letter in group) > 1 for group in _EXCLUDING):
        raise WrongArgument("a format says each part of a date once")
    if not any(set(day) <= set(seen) for day in ("Ymd", "YBd", "Ybd", "Yj", "ymd", "yBd", "ybd", "yj")):
        raise WrongArgument("a format has a year, a month and a day, as in %Y-%m-%d")
    has_time = "H" in seen or "I" in seen
    if ("I" in seen) != ("p" in seen) or has_time != ("M" in seen) or ("S" in seen and not has_time):
        raise WrongArgument("a time of day is %H:%M, or %I:%M with %p")
    if ("f" in seen and "S" not in seen) or ("z" in seen and not has_time):
        raise WrongArgument("%f follows %S, and %z a time of day")
    return Reader(has_time, "z" in seen, re.compile(pattern, re.IGNORECASE), names)


def writer(format: str, locale: str) -> Callable[[Any], str]:
    """Raises WrongArgument; what it returns raises Unfit for a time or an offset that the value has not."""
    names = locale_of(locale)
    pieces = list(_pieces(format))
    letters = {letter for _, _, letter in pieces}
    needs_time, needs_zone = bool(letters & set("HIpMSfz")), "z" in letters

    def write(value: date) -> str:
        if needs_time and not isinstance(value, datetime):
            raise Unfit("wrong_type")
        if needs_zone and isinstance(value, datetime) and value.tzinfo is None:
            raise Unfit("zone_missing")
        return "".join(literal + _written(value, flag, letter, names) for literal, flag, letter in pieces)

    return write


def _pieces(format: str) -> list[tuple[str, str, str]]:
    """(text before, flag, directive) for each directive, and one without for what follows the last."""
    if len(format) > MAX_FORMAT:
        raise WrongArgument(f"a format has at most {MAX_FORMAT} characters")
    pieces, at = [], 0
    for found in _DIRECTIVE.finditer(format):
        flag, letter = found.groups()
        if letter not in DIRECTIVES or (flag and letter not in _SHORT):
            raise WrongArgument(f"{found[0]} is no directive; there are {' '.join('%' + one for one in DIRECTIVES)}")
        pieces.append((format[at : found.start()], flag, letter))
        at = found.end()
    return [*pieces, (format[at:], "", "")]


def _names(locale: str) -> dict[str, dict[str, int]]:
    """By directive: the locale's names, case folded, with their numbers. A name's closing point may be left out."""
    found = locale_of(locale)
    tables: dict[str, dict[str, int]] = {}
    for letter, table, width in (
        ("B", found.months, "wide"),
        ("b", found.months, "abbreviated"),
        ("A", found.days, "wide"),
        ("a", found.days, "abbreviated"),
    ):
        names = {}
        for context in ("stand-alone", "format"):
            for number, name in table[context][width].items():
                names[name.casefold()] = names[name.casefold().rstrip(".")] = number
        tables[letter] = names
    return tables


def _time(parts: dict[str, str]) -> time:
    hour = int(parts.get("H") or parts.get("I") or 0)
    if "I" in parts:
        if not 1 <= hour <= 12:
            raise ValueError("no hour of twelve")
        hour = hour % 12 + (12 if parts["p"].casefold() == "pm" else 0)
    return time(hour, int(parts.get("M") or 0), int(parts.get("S") or 0), int((parts.get("f") or "").ljust(6, "0")))


def _offset(text: str | None) -> tzinfo | None:
    if text is None:
        return None
    if text in "Zz":
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:])
    if minutes > 59:
        raise ValueError("no offset")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _written(value: Any, flag: str, letter: str, names: Any) -> str:
    match letter:
        case "":
            return ""
        case "%":
            return "%"
        case "Y":
            return f"{value.year:04}"
        case "y":
            return f"{value.year % 100:02}"
        case "B":
            return str(names.months["format"]["wide"][value.month])
        case "b":
            return str(names.months["format"]["abbreviated"][value.month])
        case "A":
            return str(names.days["format"]["wide"][value.weekday()])
        case "a":
            return str(names.days["format"]["abbreviated"][value.weekday()])
        case "j":
            return f"{value.timetuple().tm_yday:03}"
        case "p":
            return "AM" if value.hour < 12 else "PM"
        case "f":
            return f"{value.microsecond:06}"
        case "z":
            text = value.isoformat()[-6:]
            return "Z" if text == "+00:00" else text
    number = {"m": "month", "d": "day", "H": "hour", "M": "minute", "S": "second"}
    amount = (value.hour - 1) % 12 + 1 if letter == "I" else getattr(value, number[letter])
    return str(amount) if flag else f"{amount:02}"
