"""CLDR's locales, by Babel."""

from functools import cache

from babel import Locale, UnknownLocaleError

from imports.mapping.mistake import WrongArgument


@cache
def locale_of(name: str) -> Locale:
    """A locale by its name, such as de, de-CH or en_GB. Raises WrongArgument."""
    try:
        return Locale.parse(name.replace("-", "_"))
    except (ValueError, UnknownLocaleError):
        raise WrongArgument("this is no locale of CLDR; write it as en, de or de-CH") from None
