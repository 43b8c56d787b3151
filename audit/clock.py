"""Whose clock decides: PostgreSQL's, the same one for every host that writes or compares a time."""

from datetime import datetime

from django.db import connection


def database_now() -> datetime:
    """The database's time at this very moment, also within a transaction. Costs one short question."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now
