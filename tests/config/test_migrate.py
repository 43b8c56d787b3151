"""Several hosts may start together: their migrations take turns."""

import io
from threading import Thread

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection, connections

from config.management.commands.migrate import LOCK
from tests.config.probes import wait_until


@pytest.mark.django_db(transaction=True)
def test_migrate_waits_for_another_host_and_says_so() -> None:
    said = io.StringIO()

    def migrate() -> None:
        try:
            call_command("migrate", verbosity=0, stdout=said)
        finally:
            connections.close_all()

    other = psycopg.connect(**connection.get_connection_params() | {"context": None, "cursor_factory": psycopg.Cursor})
    with other:
        other.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        host = Thread(target=migrate)
        host.start()
        wait_until(lambda: "waiting for it" in said.getvalue())
        assert host.is_alive()
    other.close()
    host.join(30)
    assert not host.is_alive()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        assert cursor.fetchone() == (0,)
