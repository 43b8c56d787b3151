"""A worker that stops in the middle of a COPY is no reason to wait for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from imports import doorbell, stranded
from tests.chaos.test_failpoints import Keeper, is_done, keeping, require_whole, struck, until
from tests.imports.pipeline import Caller, push, records
from tests.live import test_database_url as database_url

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def soon() -> Iterator[None]:
    """This session counts as stranded what has been silent for 200 ms."""
    with connection.cursor() as cursor:
        cursor.execute("SET idle_in_transaction_session_timeout = '200ms'")
        yield
        cursor.execute("SET idle_in_transaction_session_timeout TO DEFAULT")


@contextmanager
def copying(name: str) -> Iterator["psycopg.Connection[Any]"]:
    """A session of that name that owes the rows of a COPY."""
    with psycopg.connect(database_url(), application_name=name) as session, session.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE owed (n int)")
        copy = cursor.copy("COPY owed FROM STDIN")
        copy.__enter__()
        try:
            yield session
        finally:
            session.pgconn.finish()


def is_there(backend: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [backend])
        return bool(cursor.fetchone()[0])


@pytest.mark.usefixtures("soon")
def test_a_worker_that_owes_rows_is_ended() -> None:
    with copying(stranded.WORKERS_NAME) as session:
        until(lambda: stranded.end_stranded() == 1)
        until(lambda: not is_there(session.info.backend_pid))
        assert stranded.end_stranded() == 0


@pytest.mark.usefixtures("soon")
def test_everybody_else_is_left_alone() -> None:
    idle = psycopg.connect(database_url(), application_name=stranded.WORKERS_NAME, autocommit=True)
    with idle, copying("pg_restore") as restore, copying(stranded.WORKERS_NAME):
        # Once the last one is long enough silent to be ended, so are the others.
        until(lambda: stranded.end_stranded() == 1)
        assert is_there(idle.info.backend_pid)
        assert is_there(restore.info.backend_pid)


@pytest.mark.usefixtures("soon", "small_batches", "empty_queue")
def test_its_batch_goes_on_elsewhere_and_is_done_once(owner: Caller, tmp_path: Path) -> None:
    job = push(owner, records(45))
    stopping = Keeper("worker", {"DATA_DIR": str(tmp_path), "FAILPOINT": "copying=stop"}, tmp_path / "stopping.log")
    with keeping(stopping):
        until(lambda: struck(tmp_path, "copying") == 1, stopping.look)
        until(lambda: stranded.end_stranded() == 1)
        doorbell.ring(job.pk)
        helping = Keeper("worker", {"DATA_DIR": str(tmp_path)}, tmp_path / "helping.log")
        with keeping(helping):
            until(lambda: is_done(job), stopping.look, lambda: doorbell.ring(job.pk))
    require_whole(job, owner)
