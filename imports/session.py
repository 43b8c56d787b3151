"""The database session that a piece of work runs in, and whether the work was lost with it."""

from typing import Any, Final

import psycopg
from django.db import InterfaceError, OperationalError, connection
from psycopg.errors import IdleInTransactionSessionTimeout

_AWAY: Final = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)


def current() -> "psycopg.Connection[Any] | None":
    """The session of the surrounding transaction."""
    session: psycopg.Connection[Any] | None = connection.connection
    return session


def is_lost(session: "psycopg.Connection[Any] | None") -> bool:
    """Whether it is gone and its transaction with it, so that nothing failed by itself.

    Where the rollback fails Django opens another session at once: a connection that can be used says nothing of the
    session that was used.
    """
    return session is None or session is not connection.connection or not connection.is_usable()


def is_away(error: BaseException) -> bool:
    """Whether it says that the database, or this session of it, is away. Takes Django's errors and psycopg's.

    A session that PostgreSQL ended for its silence in a transaction (25P03) is one of these, though its error is
    filed under the internal ones.
    """
    return isinstance(error, _AWAY) or isinstance(cause_of(error), IdleInTransactionSessionTimeout)


def cause_of(error: BaseException) -> BaseException:
    """psycopg's own error inside Django's, which says more; else the error itself."""
    return error.__cause__ if isinstance(error.__cause__, psycopg.Error) else error
