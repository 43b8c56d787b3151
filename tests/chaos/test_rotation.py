"""The short form of the run `rotation`: the rotator dies several times under a running import."""

from audit.context import Actor, acting_as
from customers import keyring
from tests.chaos.rotation import Rotation, run_rotation


def test_every_value_opens_while_the_rotator_is_killed(transactional_db: None) -> None:
    keyring.forget()
    with acting_as(Actor("command", "tests")):
        report = run_rotation(records=5_000, kills=2, seed=7)
    print(report.line())
    assert report.faults() == []
    assert report.kills == 2


def test_a_rotation_that_proves_nothing_is_at_fault() -> None:
    assert Rotation(1, records=5, rotations=1, records_stored=4, left_under_old_keys=2, problems=["gone"]).faults() == [
        "gone",
        "no kill fell into the work",
        "nothing was imported or read meanwhile",
        "2 values are left under an old key",
        "an old key was not destroyed",
        "4 records are stored",
    ]
