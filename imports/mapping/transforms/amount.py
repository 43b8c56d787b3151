"""Transforms of numbers, which are decimals all the way: nothing is rounded unless a step says so."""

import decimal
import re
from decimal import Decimal
from typing import Final, Literal

from babel.numbers import get_currency_precision, list_currencies

from imports.mapping.mistake import WrongArgument
from imports.mapping.number import EXACT, MAX_DIGITS, exact
from imports.mapping.problem import Unfit
from imports.mapping.transforms.locale import locale_of
from imports.mapping.transforms.registry import Step, transform

_SPACES: Final = "\u00a0\u202f "
Mode = Literal["half_even", "half_up", "down", "up"]

_ROUNDING: Final = decimal.Context(prec=2 * MAX_DIGITS, traps=[decimal.InvalidOperation, decimal.Overflow])
_MODES: Final[dict[Mode, str]] = {
    "half_even": decimal.ROUND_HALF_EVEN,
    "half_up": decimal.ROUND_HALF_UP,
    "down": decimal.ROUND_DOWN,
    "up": decimal.ROUND_UP,
}
# Each unit in the first unit of its row. By definition, so exact.
UNITS: Final = (
    {"kg": "1", "g": "0.001", "mg": "0.000001", "t": "1000", "lb": "0.45359237", "oz": "0.028349523125"},
    {
        "m": "1",
        "km": "1000",
        "cm": "0.01",
        "mm": "0.001",
        "in": "0.0254",
        "ft": "0.3048",
        "yd": "0.9144",
        "mi": "1609.344",
    },
    {"l": "1", "ml": "0.001", "cl": "0.01", "m3": "1000", "gal_us": "3.785411784", "fl_oz_us": "0.0295735295625"},
    {"s": "1", "ms": "0.001", "min": "60", "h": "3600", "d": "86400"},
)


@transform(takes=str, gives=Decimal, example=({"locale": "de"}, "1.234,50", Decimal("1234.50")))
def parse_number(*, locale: str) -> Step:
    """A number as the locale writes it: its decimal sign, and its grouping at the right places or none at all."""
    found = locale_of(locale)
    symbols = found.number_symbols.get("latn", found.number_symbols)
    point, group = symbols["decimal"], symbols["group"]
    groups = f"[{_SPACES}]" if group in _SPACES else "['\u2019]" if group in "'\u2019" else re.escape(group)
    last, others = found.decimal_formats[None].grouping
    whole = rf"[0-9]+|[0-9]{{1,{others}}}(?:{groups}[0-9]{{{others}}})*{groups}[0-9]{{{last}}}"
    pattern = re.compile(rf"([+\-\u2212]?)({whole})(?:{re.escape(point)}([0-9]+))?")

    def step(value: str) -> Decimal:
        parts = pattern.fullmatch(value.strip())
        if parts is None:
            raise Unfit("not_a_number")
        sign, integer, fraction = parts.groups()
        digits = "".join(letter for letter in integer if letter in "0123456789")
        text = f"{'-' if sign in ('-', chr(0x2212)) else ''}{digits}"
        return exact(text if fraction is None else f"{text}.{fraction}")

    return step


@transform(takes=Decimal, gives=Decimal, example=({"by": "0.01"}, Decimal("1999"), Decimal("19.99")))
def scale(*, by: str) -> Step:
    """The number times a factor, exactly. The factor stands in quotes, so that it keeps its digits."""
    return _times(_factor(by))


@transform(takes=Decimal, gives=Decimal, example=({"by": "3", "places": 2}, Decimal("1"), Decimal("0.33")))
def divide(*, by: str, places: int | None = None, mode: Mode = "half_even") -> Step:
    """The number over a divisor, exactly; where the quotient has no end, `places` is needed and says where to round."""
    return _over(Decimal(1), _factor(by), places, mode)


@transform(takes=Decimal, gives=Decimal, example=({"places": 2}, Decimal("2.345"), Decimal("2.34")))
def round_(*, places: int, mode: Mode = "half_even") -> Step:
    """So many digits behind the point, no more and no fewer."""
    return _rounded(places, mode)


@transform(takes=Decimal, gives=Decimal, example=({"given": "lb", "gives": "kg"}, Decimal("2"), Decimal("0.90718474")))
def convert_unit(*, given: str, gives: str, places: int | None = None, mode: Mode = "half_even") -> Step:
    """From one unit of mass, length, volume or time to another; where the result has no end, `places` is needed."""
    for row in UNITS:
        if given in row and gives in row:
            return _over(Decimal(row[given]), Decimal(row[gives]), places, mode)
    raise WrongArgument(f"both are units of one row: {'; '.join(', '.join(row) for row in UNITS)}")


@transform(takes=Decimal, gives=Decimal, example=({"currency": "EUR"}, Decimal("1999"), Decimal("19.99")))
def from_minor_units(*, currency: str) -> Step:
    """An amount of cents as an amount of the currency; how many make one is CLDR's digits of the currency."""
    return _times(Decimal(1).scaleb(-_digits(currency)))


@transform(takes=Decimal, gives=Decimal, example=({"currency": "JPY"}, Decimal("1999"), Decimal("1999")))
def to_minor_units(*, currency: str) -> Step:
    """An amount of the currency in its smallest unit; a fraction of that unit is a problem."""
    multiply = _times(Decimal(1).scaleb(_digits(currency)))

    def step(value: Decimal) -> Decimal:
        units: Decimal = multiply(value)
        whole = units.to_integral_value()
        if whole != units:
            raise Unfit("wrong_type")
        return whole

    return step


def _over(factor: Decimal, divisor: Decimal, places: int | None, mode: Mode) -> Step:
    context = EXACT if places is None else _ROUNDING
    finish = None if places is None else _rounded(places, mode)

    def step(value: Decimal) -> Decimal:
        try:
            quotient = context.divide(EXACT.multiply(value, factor), divisor)
        except decimal.DecimalException as err:
            raise Unfit("number_endless" if type(err) is decimal.Inexact else "number_out_of_range") from None
        return quotient if finish is None else finish(quotient)

    return step


def _rounded(places: int, mode: Mode) -> Step:
    if not 0 <= places <= 30:
        raise WrongArgument("places are 0 to 30")
    unit, rounding = Decimal(1).scaleb(-places), _MODES[mode]

    def step(value: Decimal) -> Decimal:
        try:
            return value.quantize(unit, rounding, _ROUNDING)
        except decimal.InvalidOperation:
            raise Unfit("number_out_of_range") from None

    return step


def _times(factor: Decimal) -> Step:
    def step(value: Decimal) -> Decimal:
        try:
            return EXACT.multiply(value, factor)
        except decimal.DecimalException:
            raise Unfit("number_out_of_range") from None

    return step


def _factor(text: str) -> Decimal:
    try:
        number = exact(text)
    except Unfit:
        raise WrongArgument("by is a number in quotes, as '0.01'") from None
    if not number:
        raise WrongArgument("by is not 0")
    return number


def _digits(currency: str) -> int:
    if currency not in list_currencies():
        raise WrongArgument("currency is a code of ISO 4217, as EUR")
    return get_currency_precision(currency)
