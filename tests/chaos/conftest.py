"""The cast and the queue of the imports' own tests, and one house for the short forms of all runs."""

from collections.abc import Iterator

import pytest

from tests.chaos.house import ChaosHouse, chaos_house
from tests.imports.conftest import empty_queue, owner, small_batches

__all__ = ["empty_queue", "house", "owner", "small_batches"]

IDLE_SECONDS = 2


@pytest.fixture(scope="package")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChaosHouse]:
    """With the short waits that the runs `stopped` and `retries` need."""
    data_dir = tmp_path_factory.mktemp("chaos") / "data"
    settings = {"DATABASE_IDLE_SECONDS": IDLE_SECONDS, "WORKER_LOCK_SECONDS": 1, "WORKERS": 2, "WEB": 1}
    with chaos_house(data_dir, **{name: str(value) for name, value in settings.items()}) as running:
        yield running
