"""Transforms of the ways to reach somebody."""

import contextlib
import re
import unicodedata
from typing import Final, Literal

import phonenumbers

from imports.mapping.casting import string
from imports.mapping.mistake import WrongArgument
from imports.mapping.path import MISSING
from imports.mapping.problem import Unfit
from imports.mapping.transforms.country import country
from imports.mapping.transforms.registry import Step, transform

MAX_PHONE: Final = 100
MAX_EMAIL: Final = 254
MAX_LOCAL: Final = 64

_LOCAL: Final = re.compile(r"[^\s@.,:;<>()\[\]\"\\\x00-\x1f\x7f]+(?:\.[^\s@.,:;<>()\[\]\"\\\x00-\x1f\x7f]+)*")
_LABEL: Final = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")


@transform(takes=str, gives=object, example=({"region": "DE"}, "030 901820", "+4930901820"))
def phone(
    *,
    region: str | None = None,
    check: Literal["possible", "valid"] = "possible",
    extension: Literal["refuse", "drop"] = "refuse",
    unknown: Literal["refuse", "keep", "drop"] = "refuse",
) -> Step:
    """A telephone number as E.164. Without a region the number begins with +.

    `possible` looks at the length, `valid` at the ranges that were given out when the library was made. E.164 has no
    extensions: one is a problem, unless it is to be dropped. `unknown` says what becomes of what is no such number.
    """
    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        raise WrongArgument("region is a country's two letters, as DE")
    return lambda value: _e164(value, region, check, extension, unknown)


@transform(takes=list, gives=object, example=({}, ["030 901820", "Germany"], "+4930901820"))
def phone_of_country(
    *,
    check: Literal["possible", "valid"] = "possible",
    extension: Literal["refuse", "drop"] = "refuse",
    unknown: Literal["refuse", "keep", "drop"] = "refuse",
) -> Step:
    """As phone, for sources [number, country]; the country is anything that the transform country reads in English."""
    region_of = country()

    def step(value: list[object]) -> object:
        if len(value) != 2 or not isinstance(value[1], str):
            raise Unfit("wrong_list")
        number, region = value[0], region_of(value[1])
        if number is None or number is MISSING:
            return MISSING
        return _e164(string(number), region, check, extension, unknown)

    return step


def _e164(value: str, region: str | None, check: str, extension: str, unknown: str) -> object:
    fits = phonenumbers.is_possible_number if check == "possible" else phonenumbers.is_valid_number
    if len(value) <= MAX_PHONE:
        with contextlib.suppress(phonenumbers.NumberParseException):
            number = phonenumbers.parse(value, region)
            if fits(number) and (not number.extension or extension == "drop"):
                return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    if unknown == "refuse":
        raise Unfit("not_a_phone_number")
    return value if unknown == "keep" else MISSING


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
