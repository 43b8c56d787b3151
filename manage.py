#!/usr/bin/env python
"""Longshore's command line. Says in a sentence, and with exit status 1, what a command lacks."""

import os
import sys

from config import embedded

# These start the servers themselves.
_STARTERS = frozenset({"up", "demo"})
# These ask nothing of PostgreSQL and Valkey.
_OFFLINE = frozenset(
    {"help", "check", "makemigrations", "makemessages", "compilemessages", "collectstatic", "findstatic"}
    | {"diffsettings", "spectacular", "startapp", "startproject", "version"}
)
_PROCESSES = frozenset({"web", "worker", "sweeper"})


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ImportError as err:
        sys.exit(
            f"{err.name or 'Django'} is not installed here. Run `make up` once, and then .venv/bin/python manage.py."
        )
    try:
        _prepare(sys.argv[1:])
        execute_from_command_line(sys.argv)
    except (embedded.EmbeddedError, ImproperlyConfigured) as err:
        sys.exit(str(err))


def _prepare(arguments: list[str]) -> None:
    """What must be true before the settings are read."""
    command = next((word for word in arguments if not word.startswith("-")), "help")
    if command in _PROCESSES:
        os.environ.setdefault("PROCESS_NAME", f"longshore-{command}")
    if command == "web":
        os.environ.setdefault("DATABASE_POOL", "1")
    with_postgres, with_valkey = not os.environ.get("DATABASE_URL"), not os.environ.get("REDIS_URL")
    if not (with_postgres or with_valkey):
        return
    if command in _STARTERS:
        embedded.prepare(embedded.data_dir())
    elif command not in _OFFLINE and not {"-h", "--help"} & set(arguments):
        embedded.require_running(embedded.data_dir(), with_postgres=with_postgres, with_valkey=with_valkey)


if __name__ == "__main__":
    main()
