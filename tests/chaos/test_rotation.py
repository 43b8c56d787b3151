"""The short form of tests.chaos.rotation: the rotator dies several times under a running import."""

from audit.context import Actor, acting_as
from customers import keyring
from tests.chaos.rotation import run


def test_every_value_opens_while_the_rotator_is_killed(transactional_db: None) -> None:
    keyring.forget()
    with acting_as(Actor("command", "tests")):
        figures = run(records=3_000, kills=3, seed=7, work_seconds=0.1)
    assert figures.faults == []
    assert (figures.kills, figures.left_under_old_keys, figures.records_stored) == (3, 0, 3_000)
    assert figures.values_read > 3_000
    assert figures.old_keys_destroyed == 2 * figures.rotations
