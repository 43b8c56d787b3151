"""Gives a test run its own PostgreSQL and Valkey, before Django reads its settings.

Where DATABASE_URL or REDIS_URL is set, the tests use that server instead, which proves an outside one.
The embedded ones end with pytest, whatever ends it. With `-n` each process that runs tests has servers of its own, and
the one that hands the tests out has none.
"""

import argparse
import atexit
import os
import secrets
import shutil
import tempfile
from base64 import b64encode
from collections.abc import Generator
from pathlib import Path

import pytest

from config.embedded import EmbeddedServers

_home: Path | None = None
_servers: EmbeddedServers | None = None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    """A wrapper runs before every plain hook, so before pytest-django loads the settings."""
    asked = early_config.known_args_namespace
    if not (asked.help or asked.version):
        _prepare()
        if not _hands_out(asked):
            _start()
        elif _is_given("DATABASE_URL") or _is_given("REDIS_URL"):
            raise pytest.UsageError("Tests on servers from outside share them, so only one process may run: add -n0.")
    return (yield)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Runs after Ctrl-C too. After a kill -9 the kernel ends the servers."""
    _stop()


def _stop() -> None:
    global _home, _servers
    if _servers is not None:
        _servers.stop()
        _servers = None
    if _home is not None:
        shutil.rmtree(_home)
        _home = None


def _hands_out(asked: argparse.Namespace) -> bool:
    """Whether this process leaves the tests to processes of its own (pytest-xdist), which all come by here too."""
    is_wanted = bool(asked.numprocesses or asked.tx) and not asked.usepdb
    return is_wanted and "PYTEST_XDIST_WORKER" not in os.environ


def _prepare() -> None:
    """What the settings ask for, so that they make up nothing and write nothing into the checkout."""
    global _home
    atexit.register(_stop)  # a run that fails before its configuration is never unconfigured
    _home = Path(tempfile.mkdtemp(prefix="longshore-tests-"))
    os.environ["DATA_DIR"] = str(_home / "data")
    # With a DATABASE_URL the settings make up no secrets.
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(48))
    if not os.environ.get("MASTER_KEYS_FILE"):
        os.environ.setdefault("MASTER_KEYS", "t1:" + b64encode(secrets.token_bytes(32)).decode())


def _start() -> None:
    global _servers
    assert _home is not None
    with_postgres, with_valkey = not _is_given("DATABASE_URL"), not _is_given("REDIS_URL")
    if not (with_postgres or with_valkey):
        return
    _servers = EmbeddedServers(
        _home / "data", with_postgres=with_postgres, with_valkey=with_valkey, durable=False, say=_quiet
    )
    addresses = _servers.start(output=_home / "servers.log")
    if with_postgres:
        os.environ["DATABASE_URL"] = addresses.database_url
    if with_valkey:
        os.environ["REDIS_URL"] = addresses.redis_url


def _is_given(address: str) -> bool:
    return bool(os.environ.get(address))


def _quiet(_line: str) -> None:
    """What the servers do to a temporary directory is no news."""
