"""The short form of the run `retries`."""

from tests.chaos.house import ChaosHouse
from tests.chaos.retrying import run_retries


def test_each_failed_record_is_tried_once_for_each_ask_and_stored_once(house: ChaosHouse) -> None:
    report = run_retries(house, seed=9, records=20, bad=6, locked=2, tries=1, pause_seconds=(0.5, 1.5))
    print(report.line())
    assert report.faults() == [], report.line()
