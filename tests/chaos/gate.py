"""A gate before the table of records, so that work never gets ahead of the blows, however slow these are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from tests.chaos.house import ChaosHouse

# A new look at each step: under READ COMMITTED every statement of a function sees what was committed before it.
_SHUT: Final = """
    CREATE TABLE chaos_gate AS SELECT 0 AS records;
    CREATE FUNCTION chaos_wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        WHILE (SELECT sum(processed) FROM imports_importjob WHERE finished_at IS NULL)
            >= (SELECT records FROM chaos_gate)
        LOOP PERFORM pg_sleep(0.02); END LOOP;
        RETURN NULL;
    END $$;
    CREATE TRIGGER chaos_wait BEFORE INSERT ON imports_record FOR EACH STATEMENT EXECUTE FUNCTION chaos_wait();
"""
_REMOVE: Final = """
    DROP TRIGGER chaos_wait ON imports_record; DROP FUNCTION chaos_wait; DROP TABLE chaos_gate;
"""


@contextmanager
def gate(house: ChaosHouse) -> Iterator[Callable[[int], bool]]:
    """Shut at first: who stores records of a running import waits inside its transaction.

    What the block gets lets batches in until so many records are done, and those that all workers have at hand then;
    it says False where the database is away.
    """
    _execute(house, _SHUT)

    def let_in(records: int) -> bool:
        try:
            _execute(house, f"UPDATE chaos_gate SET records = {records}")
        except psycopg.OperationalError:
            return False
        return True

    try:
        yield let_in
    finally:
        _execute(house, _REMOVE)


def _execute(house: ChaosHouse, statements: str) -> None:
    with psycopg.connect(house.database_url(), autocommit=True, connect_timeout=5) as session:
        session.execute(statements.encode())
