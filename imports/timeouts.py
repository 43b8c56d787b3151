"""How long a worker waits for the database, and what a wait that ended is called."""

from typing import Final

import psycopg
from django.db import connection
from psycopg import errors

_CODES: Final[tuple[tuple[type[psycopg.Error], str], ...]] = (
    (errors.LockNotAvailable, "lock_timeout"),
    (errors.QueryCanceled, "statement_timeout"),
)
# Class 53, insufficient resources: a full disk, no memory, no connection left. Nothing that was sent is at fault.
_RESOURCES: Final = "53"

CODES: Final = frozenset(code for _, code in _CODES)
"""Of these the record, or those around it, may be the cause."""

SERVER_IS_FULL: Final = "limit_exceeded"
"""The code of a fault that all batches meet alike, so taking one of them apart would mend nothing."""

CROSSED: Final = (errors.DeadlockDetected, errors.SerializationFailure)
"""Two transactions met crosswise: nobody's fault and no failed attempt."""


def bound_waits(*, lock_seconds: float, statement_seconds: float) -> None:
    """For every database connection that this process and its children open from now on; 0 is no bound.

    The bounds travel with the connection's start, so they cost no statement.
    """
    options = connection.settings_dict["OPTIONS"]
    bounds = f"-c lock_timeout={int(lock_seconds * 1000)} -c statement_timeout={int(statement_seconds * 1000)}"
    options["options"] = f"{options.get('options', '')} {bounds}".strip()


def passing_reason(error: BaseException) -> str | None:
    """The code of STORE_CODES for a fault that may be gone soon, else None. Takes Django's errors and psycopg's."""
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    if not isinstance(cause, psycopg.Error):
        return None
    for kind, code in _CODES:
        if isinstance(cause, kind):
            return code
    return SERVER_IS_FULL if (cause.sqlstate or "").startswith(_RESOURCES) else None
