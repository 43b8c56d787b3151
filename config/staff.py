"""The people who sign in to the admin: the first one is made here, a lost password replaced. Both are audited."""

import secrets
import unicodedata
from typing import Final

from axes.utils import reset as unlock
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from audit.trail import audited, record

DEFAULT_USERNAME: Final = "admin"
# Without letters and digits that look alike; four groups of five are 97 bits.
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"


class StaffError(Exception):
    """What was asked for cannot be done; the message says what to do instead."""


def has_admin() -> bool:
    """Whether anybody can sign in and do everything."""
    return User.objects.filter(is_staff=True, is_superuser=True, is_active=True).exists()


def create_admin(username: str, password: str = "") -> str:
    """A login that may do everything; its password, made up where none is given. Raises StaffError."""
    user = User(username=unicodedata.normalize("NFKC", username), is_staff=True, is_superuser=True)
    password = _set_password(user, password)
    try:
        user.full_clean(exclude=["password"])
        with audited():
            user.save(force_insert=True)
            record("admin.created", target=f"staff:{user.pk}")
    except ValidationError as error:
        if User.objects.filter(username=user.username).exists():
            raise StaffError(_taken(user.username)) from None
        raise StaffError(" ".join(error.messages)) from None
    except IntegrityError:
        # Two at once: the other one was faster than our check.
        raise StaffError(_taken(user.username)) from None
    return password


def reset_password(username: str, password: str = "") -> str:
    """A new password for an active admin, who is signed out everywhere and no longer locked out. Raises StaffError."""
    user = User.objects.filter(username=username, is_staff=True, is_active=True).first()
    if user is None:
        raise StaffError(f"There is no active admin named {username!r}. Leave --reset out to make one.")
    password = _set_password(user, password)
    with audited():
        user.save(update_fields=["password"])
        record("admin.password_reset", target=f"staff:{user.pk}")
    unlock(username=username)
    return password


def _set_password(user: User, password: str) -> str:
    if password:
        try:
            validate_password(password, user)
        except ValidationError as error:
            raise StaffError(" ".join(error.messages)) from None
    else:
        password = "-".join("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))
    user.set_password(password)
    return password


def _taken(username: str) -> str:
    return f"There is a user named {username!r} already. Choose another --username, or give --reset for a new password."
