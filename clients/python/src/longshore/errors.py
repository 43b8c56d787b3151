"""What can go wrong, named by what to do next.

Every error carries a stable `code`, a message that is safe to show and log (never a secret, never a record's
content) and usually a `hint`. `exit_code` is what the `longshore` command ends with.
"""

from collections.abc import Mapping, Sequence
from typing import Any


class LongshoreError(Exception):
    """The parent of all of them; catch this one to catch everything this package raises on purpose."""

    exit_code = 4

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.status = status
        self.request_id = request_id
        self.errors = tuple(errors)
        self.idempotency_key: str | None = None
        self.job_id: str | None = None


class FixConfiguration(LongshoreError):
    """The address, the key or an option is missing or cannot be right. Nothing was sent."""

    exit_code = 2


class FixFile(LongshoreError):
    """The file cannot be read, is too large, is not what its name says, or changed while it was sent."""

    exit_code = 2


class FixKey(LongshoreError):
    """401: the server did not accept the signature. `step` says where it stopped."""

    exit_code = 3
    step: str | None = None
    skew_seconds: float | None = None


class AskForAccess(LongshoreError):
    """403: the signature is good, but this network or this key may not do that. Ask the server's admin."""

    exit_code = 3


class CheckId(LongshoreError):
    """404: no such job or record for this customer, or the address is not that of a Longshore server."""

    exit_code = 3


class FixRequest(LongshoreError):
    """Any other 4xx: the server read the request and refuses it; sending it again will not help."""

    exit_code = 3


class TryLater(LongshoreError):
    """Unreachable, overloaded or over quota, still so after every retry. The same call may work later."""

    exit_code = 4


class ReportFault(LongshoreError):
    """The server failed (5xx) or answered something that no Longshore server answers."""

    exit_code = 4
