"""A run in a process without pytest, which is given servers and a test database of its own."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

R = TypeVar("R")


def alone(run: Callable[..., R], **arguments: Any) -> R:
    """What `run` returns with these arguments, acting as a command. Call it once in a fresh process."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    from tests import servers

    servers._prepare()
    servers._start()
    django.setup()
    from django.db import connection, connections

    from audit.context import Actor, acting_as
    from imports import attempts

    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        with acting_as(Actor("command", "chaos")):
            return run(**arguments)
    finally:
        if attempts._note is not None:
            attempts._note.close()
        connections.close_all()
        connection.creation.destroy_test_db(os.environ["DATABASE_URL"].rpartition("/")[2], verbosity=0)
        servers._stop()
