"""The short form of tests.chaos.undoing: workers die in the middle of an undo, under a running import."""

import pytest

from audit.context import Actor, acting_as
from customers import keyring
from tests.chaos.undoing import run


@pytest.mark.usefixtures("small_batches")
def test_every_record_is_as_before_though_workers_are_killed(transactional_db: None) -> None:
    keyring.forget()
    with acting_as(Actor("command", "tests")):
        figures = run(records=600, kills=2, seed=7, work_seconds=0.1)
    assert figures.faults == []
    assert (figures.removed, figures.restored, figures.compared) == (120, 480, 480)
    assert (figures.kills, figures.kills_in_work) == (2, 2)
