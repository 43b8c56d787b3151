import json
from typing import Any

import pytest

from imports.lookup import Found, look_up
from tests.imports.pipeline import Caller, bad_record, push, record, run, work
from tests.imports.undos import undo

pytestmark = pytest.mark.django_db(transaction=True)


def found(caller: Caller, external_id: str, record_type: str = "customer") -> Found | None:
    return look_up(customer_id=caller.customer.pk, record_type=record_type, external_id=external_id)


def content(answer: Found | None) -> Any:
    assert answer is not None
    return json.loads(bytes(answer["record"]))


def story(answer: Found | None) -> list[tuple[str, str, int, str | None]]:
    assert answer is not None
    return [(page["outcome"], page["jobId"], page["index"], page["code"]) for page in answer["story"]]


def test_a_record_is_found_with_its_content_and_origin(owner: Caller) -> None:
    job = run(owner, [record("B"), record("A", customFields={"tier": "gold"})])
    answer = found(owner, "A")
    assert content(answer) == record("A", customFields={"tier": "gold"})
    assert answer is not None
    assert answer["origin"] == {"jobId": str(job.uuid), "index": 1}
    assert story(answer) == [("created", str(job.uuid), 1, None)]


def test_numbers_come_back_with_the_digits_they_came_with(owner: Caller) -> None:
    run(owner, [b'{"id":"A","type":"customer","attributes":{"n":1.50,"big":123456789012345678901234567890}}'])
    answer = found(owner, "A")
    assert answer is not None
    assert b'"big":123456789012345678901234567890,"n":1.50' in bytes(answer["record"])


def test_what_happened_is_told_in_order(owner: Caller) -> None:
    first = run(owner, [record("A")])
    run(owner, [record("A")])
    found_again = run(owner, [record("A")])
    refused = run(owner, [bad_record("A")])
    changed = run(owner, [record("A", attributes={})])
    same = run(owner, [record("B"), record("A", attributes={})])
    last = run(owner, [record("A", attributes={"name": "last"})])
    told = [
        ("created", str(first.uuid), 0, None),
        ("unchanged", str(found_again.uuid), 0, None),
        ("failed", str(refused.uuid), 0, "custom_field_not_a_string"),
        ("updated", str(changed.uuid), 0, None),
        ("unchanged", str(same.uuid), 1, None),
    ]
    assert story(found(owner, "A")) == [*told, ("updated", str(last.uuid), 0, None)]
    undo(owner, last)
    assert story(found(owner, "A")) == told
    undo(owner, changed)
    undo(owner, same)
    assert story(found(owner, "A")) == told[:3]


def test_a_change_beneath_that_was_undone_is_no_part_of_the_story(owner: Caller) -> None:
    first = run(owner, [record("A")])
    second = run(owner, [record("A", attributes={})])
    undo(owner, first)
    assert story(found(owner, "A")) == [("created", str(second.uuid), 0, None)]


def test_a_record_that_was_only_ever_refused_has_a_story_and_no_content(owner: Caller) -> None:
    job = run(owner, [bad_record("A")])
    answer = found(owner, "A")
    assert answer is not None
    assert (answer["record"], answer["origin"]) == (None, None)
    assert story(answer) == [("failed", str(job.uuid), 0, "custom_field_not_a_string")]


def test_a_record_refused_for_a_broken_emoji_is_found(owner: Caller) -> None:
    run(owner, [b'{"id":"A","type":"customer","attributes":{"name":"Li \\ud83d"}}'])
    assert [page[3] for page in story(found(owner, "A"))] == ["lone_surrogate"]


def test_ids_are_found_in_either_normal_form(owner: Caller) -> None:
    run(owner, [record("caf\u00e9")])
    assert found(owner, "cafe\u0301") == found(owner, "caf\u00e9") is not None


@pytest.mark.parametrize("external_id", ["B", "a", "A ", "", "A\0", "x" * 255])
def test_what_is_unknown_is_not_found(owner: Caller, external_id: str) -> None:
    run(owner, [record("A")])
    assert found(owner, external_id) is None
    assert found(owner, "A", "order") is None


def test_a_stranger_finds_nothing_and_a_colleague_all(owner: Caller, colleague: Caller, stranger: Caller) -> None:
    run(owner, [record("A"), bad_record("B")])
    assert found(stranger, "A") is None
    assert found(stranger, "B") is None
    assert found(colleague, "A") == found(owner, "A") is not None


def test_dry_runs_are_no_part_of_the_story(owner: Caller) -> None:
    run(owner, [record("A"), bad_record("B")], kind="dry_run")
    assert found(owner, "A") is None
    assert found(owner, "B") is None


def test_a_record_can_be_found_while_its_job_goes_on(owner: Caller, small_batches: int) -> None:
    push(owner, [record(f"A-{number}") for number in range(20)])
    work(batches=1)
    assert content(found(owner, "A-9")) == record("A-9")
    assert found(owner, "A-10") is None
