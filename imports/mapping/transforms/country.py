"""Countries of ISO 3166-1, by the names and codes of CLDR."""

from functools import cache
from typing import Final, Literal

from babel.core import get_global

from imports.mapping.problem import Unfit
from imports.mapping.transforms.locale import locale_of
from imports.mapping.transforms.registry import Step, transform

# CLDR lists the codes of today and of the past alike; these are the past, where a country has both.
_WITHDRAWN: Final = frozenset(
    ("BUR", "DDR", "FXX", "TMP", "YMD", "ZAR", "230", "249", "278", "280", "720", "736", "886")
)
_NO_COUNTRY: Final = frozenset(("EU", "UN", "XA", "XB", "ZZ"))


@transform(takes=str, gives=str, example=({"to": "alpha2"}, "Germany", "DE"))
def country(*, to: Literal["alpha2", "alpha3", "numeric", "name"] = "alpha2", locales: list[str] | None = None) -> Step:
    """A country's code, or its name in the first locale (en), from its name in one of them or from any of its codes.

    Capitals and points make no difference. A code that was withdrawn counts as the one country that followed it.
    """
    locales = locales or ["en"]
    known = {code.casefold(): country for code, country in _codes().items()}
    for locale in reversed(locales):
        known |= {
            _folded(name): country for country, name in locale_of(locale).territories.items() if country in _countries()
        }
    given = _given(to, locales[0])

    def step(value: str) -> str:
        found = known.get(_folded(value))
        if found is None:
            raise Unfit("not_a_country")
        return given[found]

    return step


def _given(to: str, locale: str) -> dict[str, str]:
    if to == "name":
        names = locale_of(locale).territories
        return {country: str(names[country]) for country in _countries()}
    if to == "alpha2":
        return {country: country for country in _countries()}
    return {
        country: code
        for code, country in _codes().items()
        if code not in _WITHDRAWN and len(code) == 3 and code.isdigit() == (to == "numeric")
    }


@cache
def _codes() -> dict[str, str]:
    """Every code that means one country, to its two letters."""
    aliases = {code: found[0] for code, found in get_global("territory_aliases").items() if len(found) == 1}
    return {country: country for country in _countries()} | {
        code: country for code, country in aliases.items() if country in _countries()
    }


@cache
def _countries() -> frozenset[str]:
    """The two letters that have three letters and a number too, which regions and exceptional codes have not."""
    aliases = get_global("territory_aliases")
    letters = {found[0] for code, found in aliases.items() if len(code) == 3 and code.isalpha()}
    numbers = {found[0] for code, found in aliases.items() if code.isdigit()}
    named = {code for code in map(str, locale_of("en").territories) if len(code) == 2 and code.isalpha()}
    return frozenset((named & letters & numbers) - _NO_COUNTRY)


def _folded(name: str) -> str:
    return " ".join(name.casefold().replace(".", "").split())
