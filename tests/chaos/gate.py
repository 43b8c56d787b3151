"""A gate before the table of records, so that a run of few batches has work left when its last blow falls."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from tests.chaos.house import ChaosHouse

# A new look at each step: under READ COMMITTED every statement of a function sees what was committed before it.
_SHUT: Final = """
    CREATE TABLE chaos_gate ();
    CREATE FUNCTION chaos_wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        WHILE to_regclass('chaos_gate') IS NOT NULL
            AND (SELECT sum(processed) FROM imports_importjob WHERE finished_at IS NULL) >= {records}
        LOOP PERFORM pg_sleep(0.02); END LOOP;
        RETURN NULL;
    END $$;
    CREATE TRIGGER chaos_wait BEFORE INSERT ON imports_record FOR EACH STATEMENT EXECUTE FUNCTION chaos_wait();
"""
_OPEN: Final = "DROP TABLE IF EXISTS chaos_gate"
_REMOVE: Final = "DROP TRIGGER chaos_wait ON imports_record; DROP FUNCTION chaos_wait"


@contextmanager
def gate(house: ChaosHouse, *, records: int) -> Iterator[Callable[[], None]]:
    """While so many records of a running import are done, whoever stores more waits inside its transaction.

    What the block gets opens the gate for good.
    """
    _execute(house, _SHUT.format(records=records))
    try:
        yield lambda: _execute(house, _OPEN)
    finally:
        _execute(house, f"{_OPEN}; {_REMOVE}")


def _execute(house: ChaosHouse, statements: str) -> None:
    with psycopg.connect(house.database_url(), autocommit=True) as session:
        session.execute(statements.encode())
