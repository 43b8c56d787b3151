"""The cast and the queue of the imports' own tests, and one house for the short forms of all runs."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.house import ChaosHouse, chaos_house
from tests.imports.conftest import empty_queue, owner, small_batches

__all__ = ["empty_queue", "house", "owner", "small_batches"]

IDLE_SECONDS = 2


@pytest.fixture(scope="package")
def house() -> Iterator[ChaosHouse]:
    """With the short waits that the runs `stopped` and `retries` need.

    Not below pytest's directory: another pytest closes that to the servers' user, and the next start fails.
    """
    settings = {"DATABASE_IDLE_SECONDS": IDLE_SECONDS, "WORKER_LOCK_SECONDS": 1, "WORKERS": 2, "WEB": 1}
    with (
        tempfile.TemporaryDirectory(prefix="ls-") as home,
        chaos_house(Path(home) / "data", **{name: str(value) for name, value in settings.items()}) as running,
    ):
        yield running
