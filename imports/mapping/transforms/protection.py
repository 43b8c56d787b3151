"""Transforms that keep a value from being read."""

import base64
import hashlib
from typing import Literal

from msgspec import UNSET, UnsetType

from imports.mapping import masking
from imports.mapping.definition import MaskPattern
from imports.mapping.mistake import WrongArgument
from imports.mapping.transforms.registry import Step, transform


@transform(
    takes=str,
    gives=str,
    example=({"encoding": "base64"}, "abc", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="),
)
def hash_(*, encoding: Literal["hex", "base64"] = "hex") -> Step:
    """The SHA-256 of the text in UTF-8.

    It is no protection for what can be guessed: whoever has the hash of a phone number, a birthday or an e-mail address
    tries them all. A key would help against that, and a mapping has none; leave such a field out or mask it.
    """
    if encoding == "hex":
        return lambda value: hashlib.sha256(value.encode()).hexdigest()
    return lambda value: base64.b64encode(hashlib.sha256(value.encode()).digest()).decode()


@transform(takes=str, gives=str, example=({"how": "partial"}, "4111111111111111", "41***11"))
def mask(
    *,
    how: Literal["full", "partial", "custom"] = "full",
    pattern: MaskPattern | UnsetType = UNSET,
) -> Step:
    """What is stored is already masked; the rest is lost. For what only staff may not see, classify the field instead.

    `partial` keeps two characters at both ends of eight or more, one of four or more. `custom` replaces each match of
    `pattern` and keeps the rest, at most 64 characters; where nothing matches, nothing is kept.
    """
    if (how == "custom") != (pattern is not UNSET):
        raise WrongArgument("custom has a pattern, as {pattern: '[0-9]+', by: '#'}, and nothing else has one")
    if pattern is not UNSET:
        return masking.custom(pattern)
    return masking.partial if how == "partial" else masking.full
