"""Readers of environment variables. Each names the variable in its error and says what to set."""

import os

from django.core.exceptions import ImproperlyConfigured

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


def text(name: str, default: str = "") -> str:
    """The variable's value without surrounding white space, or `default` where it is unset or empty."""
    return os.environ.get(name, "").strip() or default


def required(name: str, why: str) -> str:
    """The variable's value; raises ImproperlyConfigured with `why` where it is unset or empty."""
    value = text(name)
    if not value:
        raise ImproperlyConfigured(f"Set {name}: {why}")
    return value


def integer(name: str, default: int, *, minimum: int = 0) -> int:
    """A whole number of at least `minimum`; raises ImproperlyConfigured otherwise."""
    value = text(name, str(default))
    try:
        number = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, and it is {value!r}.") from None
    if number < minimum:
        raise ImproperlyConfigured(f"{name} must be at least {minimum}, and it is {number}.")
    return number


def flag(name: str, default: bool = False) -> bool:
    """1, true, yes, on or 0, false, no, off; raises ImproperlyConfigured for anything else."""
    value = os.environ.get(name, "1" if default else "0").strip().lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ImproperlyConfigured(f"{name} must be 1 or 0, and it is {value!r}.")


def listing(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """A comma-separated list, empty entries left out."""
    value = text(name)
    return [entry.strip() for entry in value.split(",") if entry.strip()] if value else list(default)
