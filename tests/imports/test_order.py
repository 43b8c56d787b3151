"""The newer job's record stands, in whatever order the batches of both are done. Every order there is, one by one."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations, permutations
from typing import Any

import pytest
from django.db import transaction

from audit.context import Actor, acting_as
from audit.trail import audited
from imports import batching, closing, opening, parts, redriving
from imports import mending as mending_stage
from imports.models import FailedRecord, ImportBatch, ImportJob
from imports.processing import process
from tests.imports.mishaps import large, low_limit, retry_all
from tests.imports.pipeline import METADATA, Caller, account_of, calling, push, record, stored_by, submission

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def batches_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "MAX_BATCH_RECORDS", 2)


@contextmanager
def undone() -> Iterator[None]:
    """A block whose writes are taken back, so that the next order begins where this one did."""
    # Not atomic(): the transaction of a change must be the outermost one, and this is the test's.
    begin = transaction.savepoint()
    try:
        yield
    finally:
        transaction.savepoint_rollback(begin)


def versions(prefix: str, *names: str) -> list[dict[str, Any]]:
    """Records whose content says which job they came with."""
    return [record(name, attributes={"v": f"{prefix} {place}"}) for place, name in enumerate(names)]


def same(*names: str) -> list[dict[str, Any]]:
    """Records whose content is the same in every job."""
    return [record(name, attributes={"v": "same"}) for name in names]


def interleavings(first: Sequence[int], second: Sequence[int]) -> Iterator[list[int]]:
    """Every way to do both lists with the order within each kept, and the same with the second backwards."""
    for other in (list(second), list(reversed(second))):
        for places in combinations(range(len(first) + len(other)), len(first)):
            mine, others = iter(first), iter(other)
            yield [next(mine) if place in places else next(others) for place in range(len(first) + len(other))]


def in_every_order(older: ImportJob, newer: ImportJob, judge: Callable[[], None]) -> int:
    """Works on the batches of both in each order, judges, and takes it all back; how many orders there were."""
    orders = list(interleavings(_batches(older), _batches(newer)))
    for order in orders:
        with undone():
            for batch in order:
                do(batch)
            for job in (older, newer):
                assert account_of(job).is_finished
            judge()
    return len(orders)


def _batches(job: ImportJob) -> list[int]:
    pending = ImportBatch.objects.filter(job=job, state="pending").order_by("sequence")
    return list(pending.values_list("pk", flat=True))


def do(batch: int) -> None:
    with acting_as(Actor("system", "worker-1")), audited():
        process(ImportBatch.objects.get(pk=batch))


def contents(caller: Caller) -> dict[str, str]:
    return {name: content["attributes"]["v"] for (_, name), content in stored_by(caller).items()}


def test_the_newer_content_stands_in_every_order(owner: Caller) -> None:
    older = push(owner, versions("old", "A", "B", "C", "D", "E", "F"))
    newer = push(owner, versions("new", "F", "A", "X", "C"))

    def judge() -> None:
        assert contents(owner) == {
            **{"B": "old 1", "D": "old 3", "E": "old 4"},
            **{"F": "new 0", "A": "new 1", "X": "new 2", "C": "new 3"},
        }

    assert in_every_order(older, newer, judge) == 20


def test_unchanged_content_of_the_newer_keeps_the_older_out(owner: Caller) -> None:
    """The newer job found the record as it was; what the older one then brings is older all the same."""
    done(push(owner, same("A", "B", "C", "D")))
    older = push(owner, versions("old", "A", "B", "C", "D"))
    newer = push(owner, same("D", "C", "B", "A"))

    def judge() -> None:
        assert contents(owner) == dict.fromkeys("ABCD", "same")

    assert in_every_order(older, newer, judge) == 12


def test_unchanged_content_keeps_out_an_older_job_that_was_open_all_the_while(owner: Caller) -> None:
    done(push(owner, same("A", "B")))
    opened = opened_with(owner, versions("old", "A", "B"))
    done(push(owner, same("B", "A")))
    with calling(owner):
        closing.close(opened)
    done(opened)
    assert contents(owner) == {"A": "same", "B": "same"}
    assert account_of(opened).superseded == 2


def test_unchanged_content_in_a_later_part_keeps_an_earlier_part_out(owner: Caller) -> None:
    done(push(owner, same("A", "B")))
    opened = opened_with(owner, versions("part 1", "A", "B"), same("A", "C"))
    with calling(owner):
        closing.close(opened)
    for order in permutations(_batches(opened)):
        with undone():
            for batch in order:
                do(batch)
            assert contents(owner) == {"A": "same", "B": "part 1 1", "C": "same"}


def test_unchanged_content_keeps_out_what_was_discarded_before_it_came(owner: Caller) -> None:
    """A discarded record is nobody's to resolve, and a person may bring it back long after its job has ended."""
    done(push(owner, same("A")))
    older = push(owner, [large("A", v="old")])
    with low_limit():
        done(older)
    with calling(owner):
        mending_stage.discard(FailedRecord.objects.get(), reason="other")
    done(push(owner, same("A")))
    with calling(owner):
        mending_stage.retry(FailedRecord.objects.get())
    retry_all()
    assert contents(owner) == {"A": "same"}
    assert account_of(older).superseded == 1


def done(job: ImportJob) -> None:
    for batch in _batches(job):
        do(batch)


def opened_with(caller: Caller, *sent: list[dict[str, Any]]) -> ImportJob:
    """An open job with these parts."""
    with calling(caller):
        job = opening.open_job(submission(caller, _opening()))
        for number, of_part in enumerate(sent, start=1):
            body = _part(of_part)
            parts.receive(submission(caller, body), job=job, number=number, wire_bytes=len(body))
    return job


def test_of_duplicates_in_one_body_the_last_stands(owner: Caller) -> None:
    older = push(owner, versions("old", "A", "B", "A", "C", "A"))
    newer = push(owner, versions("new", "B", "B", "C", "B"))

    def judge() -> None:
        assert contents(owner) == {"A": "old 4", "B": "new 3", "C": "new 2"}
        assert ImportJob.objects.get(pk=newer.pk).superseded == 2

    assert in_every_order(older, newer, judge) == 20


def test_a_dry_run_in_between_changes_nothing(owner: Caller) -> None:
    older = push(owner, versions("old", "A", "B", "C"))
    between = push(owner, versions("dry", "A", "B", "C"), kind="dry_run")
    newer = push(owner, versions("new", "B", "C"))

    def judge() -> None:
        for batch in _batches(between):
            do(batch)
        assert contents(owner) == {"A": "old 0", "B": "new 0", "C": "new 1"}

    assert in_every_order(older, newer, judge) == 6


@pytest.mark.parametrize("is_older_in_parts", [True, False])
def test_a_job_in_parts_has_the_number_of_its_opening(owner: Caller, is_older_in_parts: bool) -> None:
    with calling(owner):
        opened = opening.open_job(submission(owner, _opening()))
    whole = push(owner, versions("whole", "A", "B", "C"))
    if not is_older_in_parts:
        with calling(owner):
            opened = opening.open_job(submission(owner, _opening()))
    with calling(owner):
        for number, sent in ((2, versions("part 2", "C", "A")), (1, versions("part 1", "A", "D"))):
            body = _part(sent)
            parts.receive(submission(owner, body), job=opened, number=number, wire_bytes=len(body))
        closing.close(opened)
    in_parts = {"A": "part 2 1", "C": "part 2 0", "D": "part 1 1"}
    of_whole = {"A": "whole 0", "B": "whole 1", "C": "whole 2"}

    def judge() -> None:
        assert contents(owner) == ({**in_parts, **of_whole} if is_older_in_parts else {**of_whole, **in_parts})

    older, newer = (opened, whole) if is_older_in_parts else (whole, opened)
    assert in_every_order(older, newer, judge) == 12


def _opening() -> bytes:
    return json.dumps({"metadata": METADATA}).encode()


def _part(sent: list[dict[str, Any]]) -> bytes:
    return json.dumps({"records": sent}).encode()


@pytest.mark.parametrize("is_tried_again_first", [True, False])
def test_a_failed_record_tried_again_keeps_its_place(owner: Caller, is_tried_again_first: bool) -> None:
    older, newer = (
        push(owner, [large("A", v="old"), *versions("old", "B", "C")]),
        push(owner, versions("new", "A", "B")),
    )

    def judge_in(order: list[int]) -> None:
        with undone():
            for batch in order:
                with low_limit():
                    do(batch)
                if is_tried_again_first:
                    try_all_again(owner)
            try_all_again(owner)
            assert contents(owner) == {"A": "new 0", "B": "new 1", "C": "old 1"}
            assert account_of(older).failed == 0

    for order in interleavings(_batches(older), _batches(newer)):
        judge_in(order)


def try_all_again(caller: Caller) -> None:
    with calling(caller):
        for job in {row.job for row in FailedRecord.objects.filter(state="open").select_related("job")}:
            redriving.retry_job(job)
    retry_all()


def test_an_edit_is_newer_than_what_was_accepted_before_it(owner: Caller) -> None:
    older = push(owner, [large("A", v="old"), *versions("old", "B")])
    with low_limit():
        for batch in _batches(older):
            do(batch)
    before = push(owner, versions("before", "A"))
    with calling(owner):
        mending_stage.edit(
            FailedRecord.objects.get(), b'{"id":"A","type":"customer","attributes":{"v":"edit"}}', attempt=1
        )
    after = push(owner, versions("after", "B"))
    for order in interleavings(_batches(before), _batches(after)):
        for is_edit_first in (True, False):
            with undone():
                if is_edit_first:
                    retry_all()
                for batch in order:
                    do(batch)
                retry_all()
                assert contents(owner) == {"A": "edit", "B": "after 0"}
                for job in (older, before, after):
                    account_of(job)
