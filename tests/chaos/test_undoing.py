"""The short form of the run `undo`: workers die in the middle of an undo, under a running import."""

import pytest

from audit.context import Actor, acting_as
from customers import keyring
from tests.chaos.undoing import Undoing, run_undoing


@pytest.mark.usefixtures("small_batches")
def test_every_record_is_as_before_though_workers_are_killed(transactional_db: None) -> None:
    keyring.forget()
    with acting_as(Actor("command", "tests")):
        report = run_undoing(records=600, kills=2, seed=7)
    print(report.line())
    assert report.faults() == []
    assert report.kills == 2


def test_an_undo_that_proves_nothing_is_at_fault() -> None:
    report = Undoing(
        1, records=5, existing=4, updated=3, foreseen=(1, 4, 0), compared=4, different=2, problems=["gone"]
    )
    assert report.faults() == [
        "gone",
        "no kill fell into the work",
        "nothing was imported meanwhile",
        "the import updated 3",
        "removed, restored and kept are (0, 0, 0)",
        "different: 2",
    ]
