"""Transforms of the ways to reach somebody."""

import re
import unicodedata
from typing import Final, Literal

import phonenumbers

from imports.mapping.mistake import WrongArgument
from imports.mapping.problem import Unfit
from imports.mapping.transforms.registry import Step, transform

MAX_PHONE: Final = 100
MAX_EMAIL: Final = 254
MAX_LOCAL: Final = 64

_LOCAL: Final = re.compile(r"[^\s@.,:;<>()\[\]\"\\\x00-\x1f\x7f]+(?:\.[^\s@.,:;<>()\[\]\"\\\x00-\x1f\x7f]+)*")
_LABEL: Final = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")


@transform(takes=str, gives=str, example=({"region": "DE"}, "030 901820", "+4930901820"))
def phone(
    *,
    region: str | None = None,
    check: Literal["possible", "valid"] = "possible",
    extension: Literal["refuse", "drop"] = "refuse",
) -> Step:
    """A telephone number as E.164. Without a region the number begins with +.

    `possible` looks at the length, `valid` at the ranges that were given out when the library was made. E.164 has no
    extensions: one is a problem, unless it is to be dropped.
    """
    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        raise WrongArgument("region is a country's two letters, as DE")
    fits = phonenumbers.is_possible_number if check == "possible" else phonenumbers.is_valid_number

    def step(value: str) -> str:
        if len(value) > MAX_PHONE:
            raise Unfit("not_a_phone_number")
        try:
            number = phonenumbers.parse(value, region)
        except phonenumbers.NumberParseException:
            raise Unfit("not_a_phone_number") from None
        if not fits(number) or (number.extension and extension == "refuse"):
            raise Unfit("not_a_phone_number")
        return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))

    return step


@transform(takes=str, gives=str, example=({}, " Maria@Example.COM ", "Maria@example.com"))
def email(*, local: Literal["keep", "lower"] = "keep") -> Step:
    """An e-mail address: trimmed, in NFC, its domain in lower case. Only its form is checked."""

    def step(value: str) -> str:
        text = unicodedata.normalize("NFC", value.strip()) if len(value) <= 4 * MAX_EMAIL else ""
        name, _, domain = text.rpartition("@")
        labels = domain.split(".")
        if (
            len(text) > MAX_EMAIL
            or not 1 <= len(name) <= MAX_LOCAL
            or len(labels) < 2
            or not _LOCAL.fullmatch(name)
            or not all(_LABEL.fullmatch(label) for label in labels)
        ):
            raise Unfit("not_an_email")
        return f"{name.lower() if local == 'lower' else name}@{domain.lower()}"

    return step
