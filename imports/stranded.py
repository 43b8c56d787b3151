"""A worker that stands still in the middle of a COPY keeps its batch locked: no time-out of PostgreSQL ends a session
that waits for the rows of a COPY."""

import logging
from typing import Final

from django.db import connection

# Its own time-out is the measure, so one setting says how long a silent worker keeps what it has locked. Only sessions
# of workers: somebody else's long COPY, as of a restore, is none of ours.
_END: Final = """
    SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND application_name = %s
        AND state = 'active' AND wait_event = 'ClientRead'
        AND state_change < clock_timestamp() - current_setting('idle_in_transaction_session_timeout')::interval
"""
WORKERS_NAME: Final = "longshore-worker"

logger = logging.getLogger(__name__)


def end_stranded() -> int:
    """Ends the sessions of workers that owe rows of a COPY for longer than idle_in_transaction_session_timeout.

    How many it ended. Their batches are free at once; a worker that comes back meets a lost database and does no harm.
    """
    with connection.cursor() as cursor:
        cursor.execute(_END, [WORKERS_NAME])
        ended = int(cursor.fetchone()[0])
    if ended:
        logger.warning("stranded_workers_ended count=%s", ended)
    return ended
