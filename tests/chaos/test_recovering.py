"""What the long runs say of recoveries, from moments made up here."""

from typing import Any

import pytest

from tests.chaos.importing import Figures
from tests.chaos.recovering import OUTAGE, Struck, recovery_after, slowest

CLEAN: dict[str, Any] = {"status": "completed", "lost": 0, "doubled": 0, "failed": 0, "unequal_accounts": 0}


def at(kind: str, moment: float, until: float | None = None) -> Struck:
    return Struck(kind, moment, moment if until is None else until)


def test_a_batch_that_others_had_under_way_is_no_recovery() -> None:
    assert recovery_after(10.0, [(9.0, 10.5), (11.0, 13.0), (11.5, 12.5)]) == 2.5


def test_after_the_last_batch_there_is_none() -> None:
    assert recovery_after(10.0, [(9.0, 10.5)]) is None


def test_an_outage_counts_from_its_end_and_hides_what_fell_just_before() -> None:
    blows = [at("horse", 1.0), at("horse", 9.0), at(OUTAGE, 10.0, 70.0), at("both", 80.0)]
    assert slowest(blows, [(1.5, 2.0), (71.0, 72.0), (81.0, 84.0)]) == {"horse": 1.0, OUTAGE: 2.0, "both": 4.0}


@pytest.mark.parametrize(
    ("figures", "fault"),
    [
        ({"recovery_seconds": None}, "nothing was left to do after the last blow"),
        ({"recovery_seconds": 5.1, "recovery_bound_seconds": 5.0}, "work went on 5.1 s after the last blow"),
        ({"recovery_seconds": 1.0, "undealt": 3}, "3 blows found the import at its end"),
    ],
)
def test_a_run_without_a_quick_recovery_is_at_fault(figures: dict[str, Any], fault: str) -> None:
    assert Figures(1, **CLEAN, **figures).faults() == [fault]


def test_a_quick_recovery_is_none() -> None:
    assert Figures(1, **CLEAN, recovery_seconds=5.0, recovery_bound_seconds=5.0).faults() == []
    assert Figures(1, **CLEAN, recovery_seconds=9.0).faults() == []
