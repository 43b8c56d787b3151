"""The short forms of `make chaos`: real processes of a real house die, and every record is read back."""

from collections.abc import Iterator

import pytest

from tests.chaos.blows import Plan
from tests.chaos.house import ChaosHouse, chaos_house
from tests.chaos.importing import is_clean, run_import

RECOVERY_SECONDS = 5.0


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChaosHouse]:
    with chaos_house(tmp_path_factory.mktemp("chaos") / "data", WORKERS="2", WEB="1") as running:
        yield running


def test_killed_workers_lose_and_double_nothing(house: ChaosHouse) -> None:
    plan = Plan(seed=1, kills=8, weights={"parent": 2, "horse": 4, "both": 2, "sweeper": 1})
    figures = run_import(house, plan, records=2_500, size=8_000)
    print(figures.line())
    assert is_clean(figures), figures.line()
    assert sum(figures.blows.values()) == 8
    assert figures.recovery_seconds <= RECOVERY_SECONDS


def test_flushes_and_crashes_lose_and_double_nothing(house: ChaosHouse) -> None:
    plan = Plan(seed=2, kills=3, flushes=2, valkey_kills=1, crashes=1, weights={"horse": 1, "both": 1})
    figures = run_import(house, plan, records=2_500, size=8_000)
    print(figures.line())
    assert is_clean(figures), figures.line()
    assert figures.blows["postgres"] == 1
    assert figures.recovery_seconds <= RECOVERY_SECONDS
