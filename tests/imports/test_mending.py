"""One failed record in a person's hands: edited, discarded; each job that is touched gives its whole account."""

import json
from typing import Any

import pytest

from audit.context import Actor, acting_as
from audit.models import AuditEvent
from imports import listing, mending, resolving
from imports.lookup import look_up
from imports.models import FailedRecord, ImportJob, Record
from imports.refusal import Refusal
from tests.imports.mishaps import as_sent, failed_import, large, retry_all, states_of
from tests.imports.pipeline import (
    Caller,
    account_of,
    bad_record,
    calling,
    in_threads,
    outcomes_of,
    push,
    record,
    run,
    stored_by,
    work,
)

pytestmark = pytest.mark.django_db(transaction=True)


def edit(caller: Caller, row: FailedRecord, content: dict[str, Any], *, attempt: int = 1) -> FailedRecord:
    with calling(caller):
        return mending.edit(row, json.dumps(content).encode(), attempt=attempt)


def test_an_edited_record_is_stored_and_the_original_kept(owner: Caller) -> None:
    job = run(owner, [bad_record("A"), record("B")])
    row = edit(owner, FailedRecord.objects.get(), record("A", attributes={"v": "mended"}))
    assert (row.state, states_of(job)) == ("retrying", ["retrying"])
    retry_all()
    assert outcomes_of(account_of(job)) == ["created", "created"]
    assert stored_by(owner)["customer", "A"]["attributes"] == {"v": "mended"}
    row.refresh_from_db()
    assert (row.state, row.attempts) == ("resolved", 2)
    assert as_sent(row) == bad_record("A")
    assert as_sent(row, "edited")["attributes"] == {"v": "mended"}


def test_an_edit_is_newer_than_what_was_accepted_before_it_and_older_than_what_came_after(owner: Caller) -> None:
    job = run(owner, [bad_record("A"), bad_record("B")])
    FailedRecord.objects.update(state="discarded")  # so that the next import leaves them alone
    before = push(owner, [record("A", attributes={"v": "before"}), record("B", attributes={"v": "before"})])
    FailedRecord.objects.update(state="open")
    first, second = FailedRecord.objects.order_by("index")
    edit(owner, first, record("A", attributes={"v": "edit"}))
    edit(owner, second, record("B", attributes={"v": "edit"}))
    after = push(owner, [record("B", attributes={"v": "after"})])
    work()
    retry_all()
    contents = {external_id: content["attributes"]["v"] for (_, external_id), content in stored_by(owner).items()}
    assert contents == {"A": "edit", "B": "after"}
    assert outcomes_of(account_of(job)) == ["updated", "superseded"]
    assert account_of(before).failed == account_of(after).failed == 0


def test_an_edit_has_a_number_of_its_own_that_is_a_job_everywhere(owner: Caller) -> None:
    job = run(owner, [bad_record("A")])
    row = edit(owner, FailedRecord.objects.get(), record("A"))
    retry_all()
    origin = ImportJob.objects.get(kind=ImportJob.Kind.EDIT)
    assert (account_of(origin).total, origin.status) == (0, "completed")
    assert Record.objects.get().origin_job_id == origin.pk > job.pk
    assert [listed.pk for listed in listing.list_jobs(customer_id=owner.customer.pk).jobs] == [job.pk]
    found = look_up(customer_id=owner.customer.pk, record_type="customer", external_id="A")
    assert found is not None
    assert found["origin"] == {"jobId": str(origin.uuid), "index": row.index}
    row.refresh_from_db()
    assert row.resolved_by_id == row.edit_job_id == origin.pk


def test_an_edit_may_give_the_record_another_id(owner: Caller) -> None:
    job = run(owner, [record("A" * 300), b'{"id":"B","type":"pear","attributes":{}}'])
    first, second = FailedRecord.objects.order_by("index")
    edit(owner, first, record("A"))
    edit(owner, second, record("B", "product"))
    retry_all()
    assert set(stored_by(owner)) == {("customer", "A"), ("product", "B")}
    assert account_of(job).created == 2


def test_a_later_import_of_the_id_it_was_sent_with_leaves_an_edit_to_another_id_alone(owner: Caller) -> None:
    job = run(owner, [bad_record("A")])
    edit(owner, FailedRecord.objects.get(), record("B", attributes={"v": "edit"}))
    run(owner, [record("A", attributes={"v": "later"})])
    retry_all()
    contents = {external_id: content["attributes"]["v"] for (_, external_id), content in stored_by(owner).items()}
    assert contents == {"A": "later", "B": "edit"}
    assert outcomes_of(account_of(job)) == ["created"]


def test_a_later_import_of_the_id_that_an_edit_gave_resolves_it(owner: Caller) -> None:
    job = run(owner, [bad_record("A")])
    row = edit(owner, FailedRecord.objects.get(), record("B", attributes={"v": "edit"}))
    run(owner, [record("B", attributes={"v": "later"})])
    row.refresh_from_db()
    assert row.state == "resolved"
    assert stored_by(owner)["customer", "B"]["attributes"] == {"v": "later"}
    assert outcomes_of(account_of(job)) == ["superseded"]


@pytest.mark.parametrize("sent", [bad_record("A"), b'{"id":"A","type":"pear","attributes":{}}'])
def test_an_edit_to_another_type_is_resolved_by_the_sweeper_where_a_later_import_overtook_it(
    owner: Caller, sent: Any
) -> None:
    job = run(owner, [sent])
    row = edit(owner, FailedRecord.objects.get(), record("B", "product", attributes={"v": "edit"}))
    FailedRecord.objects.update(state="discarded")  # so that the import does not see it, as if both came at once
    later = run(owner, [record("B", "product", attributes={"v": "later"})])
    FailedRecord.objects.update(state="open")
    with acting_as(Actor("system", "sweeper")):
        assert resolving.resolve_overtaken() == 1
    row.refresh_from_db()
    assert (row.state, row.resolved_by_id) == ("resolved", later.pk)
    assert outcomes_of(account_of(job)) == ["superseded"]


def test_an_edit_to_another_type_stands_in_the_story_of_the_record_that_it_is_now(owner: Caller) -> None:
    job = run(owner, [bad_record("A")])
    edit(owner, FailedRecord.objects.get(), record("B", "product"))
    retry_all()
    found = look_up(customer_id=owner.customer.pk, record_type="product", external_id="B")
    assert found is not None
    assert (str(job.uuid), "failed") in [(chapter["jobId"], chapter["outcome"]) for chapter in found["story"]]
    assert look_up(customer_id=owner.customer.pk, record_type="customer", external_id="A") is None


def test_an_edit_that_would_fail_again_changes_nothing(owner: Caller) -> None:
    job = run(owner, [bad_record("A")])
    with pytest.raises(Refusal) as refused:
        edit(owner, FailedRecord.objects.get(), record("A", customFields={"tier": 8}))
    assert refused.value.code == "invalid_body"
    assert refused.value.errors[0][:2] == ("/record/customFields/tier", "custom_field_not_a_string")
    assert states_of(job) == ["open"]
    assert not ImportJob.objects.filter(kind=ImportJob.Kind.EDIT).exists()


def test_a_late_edit_is_refused_and_nothing_is_lost(owner: Caller) -> None:
    job = run(owner, [bad_record("A")])
    row = FailedRecord.objects.get()
    edit(owner, row, record("A", attributes={"v": "first"}))
    with pytest.raises(Refusal) as refused:
        edit(owner, row, record("A", attributes={"v": "second"}))
    assert refused.value.code == "attempt_passed"
    assert "retrying at attempt 1" in refused.value.detail
    retry_all()
    assert stored_by(owner)["customer", "A"]["attributes"] == {"v": "first"}
    assert account_of(job).created == 1
    assert ImportJob.objects.filter(kind=ImportJob.Kind.EDIT).count() == 1


def test_an_edit_of_a_record_that_was_tried_since_is_refused(owner: Caller) -> None:
    job = run(owner, [bad_record("A")])
    row = FailedRecord.objects.get()
    with calling(owner):
        mending.retry(row)
    retry_all()
    assert states_of(job) == ["open"]
    with pytest.raises(Refusal) as refused:
        edit(owner, row, record("A"), attempt=1)
    assert refused.value.code == "attempt_passed"
    assert "open at attempt 2" in refused.value.detail
    edit(owner, row, record("A"), attempt=2)
    retry_all()
    assert account_of(job).created == 1


def test_of_many_parallel_edits_one_is_sent(owner: Caller) -> None:
    job = run(owner, [bad_record("A")])
    row = FailedRecord.objects.get()
    answers = in_threads(*[lambda: edit(owner, row, record("A"))] * 8)
    assert sum(isinstance(answer, FailedRecord) for answer in answers) == 1
    assert {answer.code for answer in answers if isinstance(answer, Refusal)} == {"attempt_passed"}
    retry_all()
    assert account_of(job).created == 1


def test_a_discarded_record_goes_on_counting_as_failed(owner: Caller) -> None:
    job = failed_import(owner, [large("A")])
    row = FailedRecord.objects.get()
    with calling(owner):
        mending.discard(row, reason="obsolete")
    assert states_of(job) == ["discarded"]
    assert account_of(job).failed == 1
    with calling(owner), pytest.raises(Refusal):
        mending.discard(row, reason="obsolete")
    run(owner, [large("A")])
    assert states_of(job) == ["discarded"]
    with calling(owner):
        mending.retry(row)
    retry_all()
    assert account_of(job).superseded == 1


def test_every_change_is_audited_with_no_more_than_ids_and_codes(owner: Caller) -> None:
    job = run(owner, [bad_record("A"), bad_record("B"), bad_record("C")])
    first, second, third = FailedRecord.objects.order_by("index")
    edit(owner, first, record("A"))
    with calling(owner):
        mending.discard(second, reason="test")
        mending.retry(third)
    events = AuditEvent.objects.filter(action__startswith="failed_record.").order_by("sequence")
    assert [event.action for event in events] == [
        "failed_record.edited",
        "failed_record.discarded",
        "failed_record.retried",
    ]
    assert {event.target for event in events} == {f"import:{job.uuid}"}
    assert {event.actor_id for event in events} == {owner.key.key_id}
    assert events[1].detail == {"index": 1, "reason": "test"}
