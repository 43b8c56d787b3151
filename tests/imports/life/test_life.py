"""The life of imports as a game of chance: any order of what callers, workers, kills, people and operators do.

    LIFE_EXAMPLES=250 LIFE_STEPS=40 LIFE_SEED=7 make test ARGS=tests/imports/life

A failure prints its seed and the steps that lead to it, as few as were found.
"""

import os
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, note, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from audit.trail import verify_chain
from imports import batching, failures, key_rotation, reencryption, tasks
from tests.imports.life.importing import Importing
from tests.imports.life.keeping import Keeping
from tests.imports.life.ledger import BATCH_RECORDS
from tests.imports.life.mending import Mending

EXAMPLES, STEPS = int(os.environ.get("LIFE_EXAMPLES", "30")), int(os.environ.get("LIFE_STEPS", "30"))
SEED = int(os.environ.get("LIFE_SEED", "20261129"))

pytestmark = pytest.mark.django_db(transaction=True)


class Life(Importing, Mending, Keeping):
    """All of it."""

    def __init__(self) -> None:
        super().__init__()
        note(f"LIFE_SEED={SEED}")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches and chunks of a few records; pauses of an hour without jitter, over when the machine says so."""
    monkeypatch.setattr(batching, "MAX_BATCH_RECORDS", BATCH_RECORDS)
    monkeypatch.setattr(reencryption, "CHUNK_ROWS", 3)
    monkeypatch.setattr(key_rotation, "REST_SECONDS", 0.0)
    monkeypatch.setattr(tasks, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(failures, "DEFAULT_BASE_SECONDS", failures.LONGEST_PAUSE_SECONDS)
    monkeypatch.setattr(failures.RetryPolicy, "pause", lambda policy, number: timedelta(seconds=policy.longest(number)))


@pytest.mark.usefixtures("empty_queue", "small")
def test_every_life_goes_as_predicted() -> None:
    run_state_machine_as_test(
        seed(SEED)(Life),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            phases=[Phase.generate, *([] if "LIFE_UNSHRUNK" in os.environ else [Phase.shrink])],
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert verify_chain().first_bad is None
