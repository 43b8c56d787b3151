"""`make demo` as a newcomer runs it, on an empty DATA_DIR and then again."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.demo.crm_export import write_export
from config.demo.flaws import DUPLICATE, flaw_counts
from tests.flows.house import ROOT

RECORDS = 1_500
TIMEOUT_SECONDS = 180
OURS = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "MASTER_KEYS", "MASTER_KEYS_FILE", "DATABASE_POOL", "ONCE", "FILE")


@contextmanager
def demo(data_dir: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """`manage.py demo` under way, with its embedded servers in `data_dir`; none of it is left behind."""
    inherited = {name: value for name, value in os.environ.items() if name not in OURS}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "demo"],
        env={**inherited, "DATA_DIR": str(data_dir), "RECORDS": str(RECORDS), "PYTHONUNBUFFERED": "1", **variables},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(TIMEOUT_SECONDS)


def play_once(data_dir: Path, **variables: str) -> str:
    """What it printed; asserts that it ended well and left no process behind."""
    with demo(data_dir, ONCE="1", **variables) as process:
        printed, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, printed
    assert not (data_dir / "postgres" / "postmaster.pid").exists()
    return printed


def count(printed: str, word: str) -> int:
    """The number beside an outcome in the client's summary."""
    found = re.search(rf"^  {word} +([\d,]+)$", printed, re.MULTILINE)
    assert found, f"no {word} in:\n{printed}"
    return int(found[1].replace(",", ""))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "data"


@pytest.fixture(scope="module")
def first(data_dir: Path) -> str:
    return play_once(data_dir)


@pytest.fixture(scope="module")
def second(data_dir: Path, first: str) -> str:
    return play_once(data_dir)


def test_the_first_run_accounts_for_every_record(first: str) -> None:
    flaws = flaw_counts(records=RECORDS, broken=0.01)
    superseded = flaws.pop(DUPLICATE)
    failed = flaws.total()
    stored = RECORDS - superseded - failed
    assert (count(first, "created"), count(first, "superseded"), count(first, "failed")) == (stored, superseded, failed)
    assert f"All {RECORDS:,} records are accounted for" in first
    assert "records a second" in first
    assert "too_many_custom_fields" in first


def test_it_tells_where_to_look_and_shows_the_login_once(first: str, second: str) -> None:
    assert re.search(r"Admin +http://127\.0\.0\.1:\d+/admin/ +user admin, password [a-z2-9-]{23}\n", first)
    assert "password " not in second.replace("lost the password?", "")
    for printed in (first, second):
        assert re.search(r"API docs +http://127\.0\.0\.1:\d+/api/docs\n", printed)
        assert "\x1b" not in printed


def test_a_second_run_doubles_nothing(first: str, second: str) -> None:
    stored = count(first, "created")
    assert (count(second, "created"), count(second, "updated"), count(second, "unchanged")) == (0, 0, stored)
    assert count(second, "failed") == count(first, "failed")
    assert count(second, "superseded") == count(first, "superseded")
    assert f"Nothing was doubled: {stored:,} records were stored before, and as many are now." in second


def test_the_key_of_a_run_is_in_no_file(data_dir: Path, first: str) -> None:
    for path in (data_dir / "demo").iterdir():
        assert b"lsk_" not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0


def test_a_file_of_ones_own_is_pushed(data_dir: Path, second: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.ndjson"
    write_export(mine, records=200, seed=99, broken=0.0)
    printed = play_once(data_dir, FILE=str(mine))
    assert "mine.ndjson accepted" in printed
    assert count(printed, "total") == 200
    assert count(printed, "failed") == 0


def test_a_file_that_is_refused_ends_with_the_clients_status(data_dir: Path, second: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty.json"
    empty.write_text('{"metadata":{"source":"x","version":"1.0.0","timestamp":"2026-01-01T00:00:00Z"},"records":[]}')
    with demo(data_dir, ONCE="1", FILE=str(empty)) as process:
        printed, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 3, printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stays_until_it_is_stopped_and_leaves_nothing_running(
    number: signal.Signals, data_dir: Path, second: str
) -> None:
    with demo(data_dir) as process:
        assert process.stdout is not None
        printed = ""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while "Ctrl-C stops everything" not in printed and time.monotonic() < deadline:
            line = process.stdout.readline()
            if not line:
                break
            printed += line
        process.send_signal(number)
        rest = process.stdout.read()
        process.wait(TIMEOUT_SECONDS)
    assert process.returncode == 0, printed + rest
    assert "Stopped." in rest
    assert not (data_dir / "postgres" / "postmaster.pid").exists()
