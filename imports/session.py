"""The database session that a piece of work runs in, and whether the work was lost with it."""

from typing import Any

import psycopg
from django.db import connection


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
