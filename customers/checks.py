"""Refuses to start with keys that protect nothing. Django runs these before `up`, `web`, `worker` and the rest."""

import itertools
from collections.abc import Sequence
from typing import Any, Final

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error

from customers import master_keys, networks

SECRET_KEY_LENGTH: Final = 50

_MAKE_MASTER_KEY: Final = "Set MASTER_KEYS=m1:… with a key from: openssl rand -base64 32"
_MAKE_SECRET_KEY: Final = "Set SECRET_KEY to the output of: openssl rand -base64 48"  # noqa: S105
_MASTER_KEY_IDS: Final = {
    "none": "longshore.E001",
    "malformed": "longshore.E002",
    "short": "longshore.E003",
    "duplicate": "longshore.E004",
}
_MASTER_KEY_HINTS: Final = {
    "none": f"{_MAKE_MASTER_KEY} and keep a copy outside this machine: without it nothing can be decrypted.",
    "malformed": "Write MASTER_KEYS as id:base64, several joined by commas; an id is 1 to 40 of A-Z a-z 0-9 _ -.",
    "short": f"{_MAKE_MASTER_KEY}. It has 32 bytes, which are 44 characters.",
    "duplicate": "Give every master key an id and a value of its own; the first one encrypts.",
}
# What tutorials, templates and our own test vectors ship.
_WELL_KNOWN: Final = ("django-insecure", "changeme", "change-me", "change_me", "secret", "insecure", "example")


def check_master_keys(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E001 none, E002 malformed, E003 not 32 bytes, E004 twice, E007 a key that anybody could guess."""
    try:
        keys = master_keys.current()
    except master_keys.MasterKeyError as error:
        return [Error(str(error), hint=_MASTER_KEY_HINTS[error.code], id=_MASTER_KEY_IDS[error.code])]
    return [
        Error(f"Master key {kek_id!r} is a default or a pattern.", hint=_MAKE_MASTER_KEY, id="longshore.E007")
        for kek_id, key in keys.keys.items()
        if _is_guessable(key)
    ]


def check_secret_key(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E005 shorter than 50 characters, E006 a well-known default or one repeated piece."""
    key = str(settings.SECRET_KEY)
    if len(key) < SECRET_KEY_LENGTH:
        message = f"SECRET_KEY has {len(key)} characters and needs {SECRET_KEY_LENGTH}."
        return [Error(message, hint=_MAKE_SECRET_KEY, id="longshore.E005")]
    if key.lower().startswith(_WELL_KNOWN) or len(set(key)) < 10:
        return [Error("SECRET_KEY is a well-known default.", hint=_MAKE_SECRET_KEY, id="longshore.E006")]
    return []


def check_trusted_proxies(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E008 an entry that names no address, network or Unix socket."""
    hint = "Write addresses or networks joined by commas, such as 127.0.0.1,10.0.0.0/8, or unix for a Unix socket."
    return [
        Error(f"TRUSTED_PROXIES holds {entry!r}, which names no proxy.", hint=hint, id="longshore.E008")
        for entry in networks.malformed(settings.TRUSTED_PROXIES)
    ]


def _is_guessable(key: bytes) -> bool:
    """Few different bytes, text padded out, or bytes that count up as published test keys do."""
    counts_up = all((after - before) % 256 == 1 for before, after in itertools.pairwise(key))
    text = key.rstrip(b"\0 ").lower()
    return counts_up or len(set(key)) < 8 or text.startswith(tuple(word.encode() for word in _WELL_KNOWN))
