"""Losses that are there are seen: the short form of the run `control`, on a Valkey of its own, which it flushes."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.embedded import EmbeddedServers
from tests.chaos.control import Control, run_control
from tests.live import test_database_url as database_url


@pytest.fixture
def own_valkey() -> Iterator[str]:
    home = Path(tempfile.mkdtemp(prefix="ls-"))
    servers = EmbeddedServers(home / "data", with_postgres=False, say=lambda _line: None)
    yield servers.start().redis_url
    servers.stop()
    shutil.rmtree(home)


@pytest.mark.django_db(transaction=True)
def test_plain_rq_loses_and_doubles_records(own_valkey: str) -> None:
    control = run_control(
        database_url(),
        own_valkey,
        seed=8,
        records=8_000,
        kills=1,
        size=1_000,
        workers=1,
        weights={"horse": 1},
        idle_seconds=0.5,
    )
    print(control.line())
    assert control.faults() == []
    assert control.blows == {"horse": 1, "flush": 1}
    assert control.lost_in_flush > 0


def test_a_control_that_sees_nothing_is_at_fault() -> None:
    assert Control(1, blows={"flush": 1}).faults() == [
        "no loss was seen",
        "no double was seen",
        "no worker was killed",
    ]
