"""The close: what it demands, and the order that it gives."""

import itertools
from functools import partial

import pytest

from imports import parts
from imports.models import ImportBatch, ImportJob
from imports.refusal import Refusal
from tests.imports.in_parts import actions_on, begin, finish, indexes_of, put, refusal_of
from tests.imports.pipeline import (
    Caller,
    account_of,
    in_threads,
    outcomes_of,
    push,
    record,
    records,
    stored_by,
    stuck_before_insert,
    work,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("small_batches")]


def test_parts_become_one_job_in_the_order_of_their_numbers(owner: Caller) -> None:
    job = begin(owner)
    sent = {number: records(25, prefix=f"P{number}") for number in (1, 2, 3)}
    for number in (3, 1, 2):
        put(owner, job, number, sent[number])
    closed = finish(owner, job, expected_parts=3, expected_records=75)
    assert (closed.status, closed.total, closed.batch_count) == ("pending", 75, 9)
    work()
    job = account_of(job)
    assert (job.status, job.created) == ("completed", 75)
    in_order = [item["id"] for number in (1, 2, 3) for item in sent[number]]
    assert indexes_of(job, "succeeded") == list(enumerate(in_order))
    assert actions_on(job) == ["import.opened", "import.accepted", "import.completed"]


def test_a_close_names_what_is_missing(owner: Caller) -> None:
    job = begin(owner, expectedRecords=9)
    refused = refusal_of("import_incomplete", lambda: finish(owner, job))
    assert [(where, what) for where, what, _ in refused.errors] == [
        ("/parts/1", "part_missing"),
        ("/records", "count_differs"),
    ]
    put(owner, job, 1, records(3))
    put(owner, job, 3, records(3, prefix="C"))
    refused = refusal_of("import_incomplete", lambda: finish(owner, job, expected_parts=2, expected_records=6))
    assert [(where, what) for where, what, _ in refused.errors] == [
        ("/parts/2", "part_missing"),
        ("/parts/3", "part_unexpected"),
    ]
    put(owner, job, 2, records(3, prefix="B"))
    assert finish(owner, job).total == 9


def test_closing_twice_is_closing_once(owner: Caller) -> None:
    job = begin(owner)
    put(owner, job, 1, records(3))
    closed = in_threads(*[partial(finish, owner, job)] * 4)
    assert {item.total for item in closed} == {3}
    work()
    assert finish(owner, job).status == "completed"
    assert actions_on(job) == ["import.opened", "import.accepted", "import.completed"]


def test_a_part_after_the_close_is_refused(owner: Caller) -> None:
    job = begin(owner)
    put(owner, job, 1, records(3))
    finish(owner, job)
    refusal_of("wrong_state", lambda: put(owner, job, 2, records(3)))
    refusal_of("wrong_state", lambda: put(owner, job, 1, records(3)))


def test_a_job_in_one_piece_takes_no_parts_and_cannot_be_closed(owner: Caller) -> None:
    job = push(owner, records(3))
    refusal_of("wrong_state", lambda: put(owner, job, 1, records(3)))
    refusal_of("wrong_state", lambda: finish(owner, job))


def test_a_part_under_way_when_the_job_is_closed_is_refused_whole(owner: Caller) -> None:
    job = begin(owner)
    put(owner, job, 1, records(3))
    with stuck_before_insert("imports_importbatch") as stuck:

        def close_meanwhile() -> None:
            with stuck.released_after():
                finish(owner, job)

        late, _ = in_threads(partial(put, owner, job, 2, records(3, prefix="B")), close_meanwhile)
    assert isinstance(late, Refusal)
    assert late.code == "wrong_state"
    work()
    assert account_of(job).created == 3
    assert [part.number for part in parts.arrived(job)] == [1]


def test_a_close_waits_for_its_turn_among_five_running(owner: Caller) -> None:
    job = begin(owner)
    put(owner, job, 1, records(3, prefix="P"))
    for number in range(5):
        push(owner, records(1, prefix=f"R{number}"))
    refusal_of("too_many_running_imports", lambda: finish(owner, job))
    assert ImportJob.objects.get(pk=job.pk).open_until is not None
    work()
    finish(owner, job)
    work()
    assert account_of(job).created == 3


def test_exactly_five_of_many_posts_and_closes_at_once_run(owner: Caller) -> None:
    opened = [begin(owner) for _ in range(10)]
    for number, job in enumerate(opened):
        put(owner, job, 1, records(1, prefix=f"P{number}"))
    closes = [partial(finish, owner, job) for job in opened]
    posts = [partial(push, owner, records(1, prefix=f"R{number}")) for number in range(10)]
    outcomes = in_threads(*[call for pair in zip(closes, posts, strict=True) for call in pair])
    assert sum(isinstance(outcome, ImportJob) for outcome in outcomes) == 5
    assert {outcome.code for outcome in outcomes if isinstance(outcome, Refusal)} == {"too_many_running_imports"}
    assert ImportJob.objects.running().count() == 5


@pytest.mark.parametrize("order", list(itertools.permutations((0, 1, 2))))
def test_the_last_of_a_records_sightings_wins_in_any_order_of_the_workers(
    owner: Caller, order: tuple[int, int, int]
) -> None:
    job = begin(owner)
    for number in (1, 2, 3):
        sent = [record("same", attributes={"name": f"part {number} {place}"}) for place in ("first", "last")]
        put(owner, job, number, [*sent, record(f"own-{number}")])
    finish(owner, job)
    batches = list(ImportBatch.objects.filter(job=job).order_by("first_index"))
    assert len(batches) == 3
    for place in order:  # the others are out of sight, as if workers held them
        ImportBatch.objects.filter(job=job, state="pending").exclude(pk=batches[place].pk).update(state="dropped")
        assert work(batches=1) == 1
        ImportBatch.objects.filter(job=job, state="dropped").update(state="pending")
    job = account_of(job)
    assert job.status == "completed"
    assert stored_by(owner)["customer", "same"]["attributes"] == {"name": "part 3 last"}
    assert outcomes_of(job)[0::3] == ["superseded"] * 3
    assert job.total == 9


def test_what_a_later_job_wrote_stands_whenever_the_open_one_is_closed(owner: Caller) -> None:
    job = begin(owner)
    put(owner, job, 1, [record("same", attributes={"name": "opened first"})])
    push(owner, [record("same", attributes={"name": "accepted later"})])
    work()
    finish(owner, job)
    work()
    assert stored_by(owner)["customer", "same"]["attributes"] == {"name": "accepted later"}
    assert account_of(job).superseded == 1
