"""The short forms of `make chaos`: real processes of a real house die, and every record is read back."""

from tests.chaos.blows import Plan
from tests.chaos.house import ChaosHouse
from tests.chaos.importing import run_import
from tests.chaos.posting import run_posts
from tests.chaos.soak import run_soak


def test_killed_workers_lose_and_double_nothing(house: ChaosHouse) -> None:
    plan = Plan(seed=1, kills=8, share=0.4, weights={"parent": 2, "horse": 4, "both": 2, "sweeper": 1})
    figures = run_import(house, plan, records=2_500, size=8_000)
    assert figures.faults() == [], figures.line()
    print(figures.line())
    assert sum(figures.blows.values()) == 8
    assert figures.blows["workers"] == 1


def test_flushes_and_crashes_lose_and_double_nothing(house: ChaosHouse) -> None:
    plan = Plan(seed=2, kills=3, share=0.4, flushes=2, valkey_kills=1, crashes=1, weights={"horse": 1, "both": 1})
    figures = run_import(house, plan, records=2_500, size=8_000)
    assert figures.faults() == [], figures.line()
    print(figures.line())
    assert sum(figures.blows.values()) == 7
    assert figures.blows["postgres"] == 1


def test_no_acknowledged_job_is_missing_after_a_crash_and_none_is_there_twice(house: ChaosHouse) -> None:
    posts = run_posts(house, seed=3, crashes=1, seconds=3, rounds=1)
    assert posts.faults() == [], posts.line()
    assert posts.blows == {"postgres": 1, "flush": 1, "web": 1}
    assert posts.calls == 60


def test_a_steady_import_lets_nothing_grow(house: ChaosHouse) -> None:
    soak = run_soak(house, seed=4, minutes=0.05, size=100, pause=0.2, every=0.4)
    assert soak.unfinished == 0, soak.line()
    assert soak.restarted == []
    assert {name.partition(" ")[0] for name in soak.rss_kilobytes} == {
        "supervisor", "parent", "sweeper", "web", "valkey"
    }  # fmt: skip
