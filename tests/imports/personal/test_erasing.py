"""After an erasure nothing of the person is left, everybody else's data is, and every count still adds up."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Event, Thread

import pytest
from django.db import connections

from audit.clock import database_now
from audit.context import Actor, acting_as
from audit.models import AuditEvent
from audit.trail import audited
from customers import erasure, rotation
from customers import keyring as rings
from customers.keyring import keyring
from imports import key_rotation, mending, results, undoing
from imports.claiming import claim
from imports.ending import cancel
from imports.lookup import look_up
from imports.mapping import path
from imports.models import FailedRecord, ImportBatch, ImportJob, Record, Undo
from imports.personal import requests
from imports.personal.erasing import StillHeldError
from imports.personal.requests import Answer
from imports.personal.subject import Subject
from imports.processing import process
from imports.quality import report
from imports.refusal import Refusal
from imports.retrying import retry_next
from tests.imports.dry_runs import changes_of, commit_of, dry_run
from tests.imports.personal.people import ADA, CANARY, ada, bad_ada, dump, everything_of, everywhere, sent
from tests.imports.pipeline import (
    Caller,
    account_of,
    acting_as_command,
    another_session,
    in_threads,
    outcomes_of,
    push,
    record,
    records,
    run,
    stored_by,
    work,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("small_batches")]


@pytest.fixture(autouse=True)
def acting() -> Iterator[None]:
    rings.forget()
    with acting_as_command():
        yield
    rings.forget()


def subject(caller: Caller, **options: object) -> Subject:
    return replace(Subject(caller.customer.pk, ADA), **options)  # type: ignore[arg-type]


def erase(caller: Caller, **options: object) -> Answer:
    return requests.erase(subject(caller, **options))


def keys_of_ada(caller: Caller) -> list[bytes]:
    index = keyring(caller.customer.pk).index
    return [index.key(record_type, ADA) for record_type in ("customer", "order", "product")]


def test_nothing_of_the_person_is_left_and_all_others_are(owner: Caller, stranger: Caller) -> None:
    run(stranger, [ada(), *records(3)])
    strangers = everything_of(stranger)
    jobs = everywhere(owner)
    others = {name: content for name, content in stored_by(owner).items() if name[1] != ADA}
    before = dump()
    assert CANARY.encode() in everything_of(owner)
    assert any(key.hex().encode() in before for key in keys_of_ada(owner)), "the search can fail"

    answer = erase(owner)
    assert answer.counts == {"record": 1, "earlier": 1, "failed": 4, "sent": 8}
    assert requests.find(subject(owner)).total == 0
    left = everything_of(owner)
    assert CANARY.encode() not in left
    assert ADA.encode() not in left
    after = dump()
    assert not any(key.hex().encode() in after for key in keys_of_ada(owner))
    assert stored_by(owner) == others
    assert everything_of(stranger) == strangers
    for job in jobs:
        account_of(job)
    work()
    for job in jobs:
        account_of(job)
    assert requests.find(subject(owner)).total == 0
    assert len(stored_by(owner)) == len(others) + 12


def test_others_keep_their_places_and_outcomes(owner: Caller) -> None:
    jobs = everywhere(owner)
    before = [(sent(job), outcomes_of(job)) for job in jobs]
    erase(owner)
    for job, (raws, outcomes) in zip(jobs, before, strict=True):
        expected = [b"" if json.loads(raw)["id"] == ADA else raw for raw in raws]
        assert sent(job) == expected
        assert outcomes_of(job) == outcomes


def test_a_waiting_record_counts_as_superseded_and_is_not_stored(owner: Caller) -> None:
    job = push(owner, [*records(15), ada(), *records(3, "B")])
    erase(owner)
    work()
    done = account_of(job)
    assert (done.created, done.superseded, done.failed, done.total) == (18, 1, 0, 19)
    assert outcomes_of(job)[15] == "superseded"
    quality = report.of_job(done)
    assert (quality["score"], quality["counts"]["unjudged"], quality["counts"]["repeated"]) == (1.0, 1, 0)
    assert look_up(customer_id=owner.customer.pk, record_type="customer", external_id=ADA) is None


def test_results_keep_a_line_that_names_nobody(owner: Caller) -> None:
    stored = run(owner, [record("A"), ada(), record("B")])
    failed = run(owner, [bad_ada()])
    dropped = push(owner, [*records(12), ada()])
    erase(owner)
    cancel(dropped.pk)
    dropped.refresh_from_db()
    erased = {
        "record": None,
        "type": None,
        "code": "erased",
        "message": "What was sent here has been erased on request.",
    }
    lines = lines_of(stored, "succeeded")
    assert [line["record"] for line in lines] == ["A", None, "B"]
    assert lines[1] == {"index": 1, "outcome": "created", "pointer": None, **erased}
    (line,) = lines_of(failed, "failed")
    assert line == {
        "index": 0, "record": None, "type": None, "outcome": "failed", "code": "custom_field_not_a_string",
        "pointer": "/customFields/*", "message": "A custom field's value must be a string.", "data": None,
    }  # fmt: skip
    assert lines_of(dropped, "unprocessed")[12] == {
        "index": 12, "outcome": "unprocessed", "pointer": None, **erased, "data": None
    }  # fmt: skip
    rows = b"".join(
        results.as_csv(results.lines(stored, batch, "succeeded")) for batch in results.batches_of(stored, "succeeded")
    )
    assert rows.splitlines()[1] == b"1,,,created,erased,,What was sent here has been erased on request.,,"


def lines_of(job: ImportJob, selection: results.Selection) -> list[dict[str, object]]:
    batches = results.batches_of(job, selection)
    ndjson = b"".join(results.as_ndjson(results.lines(job, batch, selection)) for batch in batches)
    return [json.loads(line) for line in ndjson.splitlines()]


def test_a_failed_record_can_neither_be_retried_nor_come_back(owner: Caller) -> None:
    jobs = everywhere(owner)
    erase(owner)
    states = FailedRecord.objects.filter(payload=None).order_by("pk").values_list("state", flat=True)
    assert list(states) == ["erased", "dry_run", "erased", "erased"]
    with acting_as(Actor("system", "worker-1")):
        while retry_next():
            pass
    assert Record.objects.filter(key__in=keys_of_ada(owner)).count() == 0
    with pytest.raises(Refusal, match="content_removed"):
        mending.retry(FailedRecord.objects.get(job=jobs[2], index=0))
    edit = ImportJob.objects.get(kind="edit")
    assert bytes(edit.body_digest) == b""


def test_a_later_import_creates_the_record_anew(owner: Caller) -> None:
    run(owner, [ada()])
    erase(owner)
    again = run(owner, [ada()])
    assert (again.created, again.updated, again.unchanged) == (1, 0, 0)


def test_digests_of_the_person_alone_go_too(owner: Caller) -> None:
    alone, among = run(owner, [ada()]), run(owner, [ada(), record("A")])
    erase(owner)
    digests = {job.pk: bytes(job.body_digest) for job in ImportJob.objects.all()}
    assert digests == {alone.pk: b"", among.pk: bytes(among.body_digest)}


def test_asked_for_twice_it_finds_nothing_the_second_time(owner: Caller) -> None:
    everywhere(owner)
    assert [erase(owner).total, erase(owner).total] == [14, 0]


def test_it_may_be_killed_at_any_payload_and_asked_for_again(owner: Caller) -> None:
    class Killed(Exception):
        pass

    jobs = everywhere(owner)
    count = ImportBatch.objects.count()

    def die_at(number: int) -> Callable[[int, int], None]:
        def step(done: int, total: int) -> None:
            if done == number:
                raise Killed

        return step

    for number in range(1, count + 1):
        with pytest.raises(Killed):
            requests.erase(subject(owner), step=die_at(number))
        for job in jobs:
            account_of(job)
    erase(owner)
    assert CANARY.encode() not in everything_of(owner)
    begun, ended = (AuditEvent.objects.filter(action=f"personal_data.{what}") for what in ("erasure_begun", "erased"))
    assert (begun.count(), ended.count()) == (count + 1, 1)


def test_the_trail_knows_it_by_a_random_number_and_counts(owner: Caller) -> None:
    run(owner, [ada(), bad_ada()])
    answer = erase(owner, types=frozenset({"customer"}))
    events = list(AuditEvent.objects.filter(action__startswith="personal_data.").order_by("sequence"))
    assert [(event.action, event.record_count, event.detail) for event in events] == [
        ("personal_data.erasure_begun", None, {"related": False}),
        ("personal_data.erased", 3, {"failed": 1, "sent": 2, "record": 0, "earlier": 0, "unreadable": 0}),
    ]
    assert {event.target for event in events} == {f"personal_data:{answer.request}"}


def test_a_batch_under_work_is_waited_for(owner: Caller) -> None:
    """Its worker has read the person and will store it: the record goes after that."""
    job = push(owner, [ada(), *records(3)])
    answers: list[Answer] = []

    def ask() -> None:
        with acting_as_command():
            answers.append(erase(owner))
        connections.close_all()

    thread = Thread(target=ask)
    with acting_as(Actor("system", "worker-1")), audited():
        batch = claim()
        assert batch is not None
        thread.start()
        wait_for(lambda: AuditEvent.objects.filter(action="personal_data.erasure_begun").exists(), another=True)
        process(batch)
    thread.join()
    assert answers[0].counts == {"record": 1, "earlier": 0, "failed": 0, "sent": 1}
    assert account_of(job).created == 4
    assert requests.find(subject(owner)).total == 0


def wait_for(is_so: Callable[[], bool], *, another: bool) -> None:
    """Looks from a session of its own, since this one stands in a transaction."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if in_threads(is_so) == [True]:
            return
    raise AssertionError("It did not come to that.")


def test_a_payload_that_somebody_holds_for_too_long_is_said(owner: Caller) -> None:
    job = run(owner, [ada(), *records(12)])
    run(owner, [ada()])
    with another_session() as session, session.transaction():
        session.execute("SELECT id FROM imports_importbatch WHERE job_id = %s FOR NO KEY UPDATE", [job.pk])
        with pytest.raises(StillHeldError, match="1 payloads"):
            requests.erase(subject(owner), patience=0.3)
    assert erase(owner).counts == {"record": 1, "earlier": 0, "failed": 0, "sent": 1}


def test_what_is_accepted_after_it_began_stays(owner: Caller) -> None:
    """Sent again meanwhile, by somebody who wants it stored: that is a new record, whole in each of its places."""
    run(owner, [ada(), *records(12)])

    def again(done: int, total: int) -> None:
        if done == 1 and ImportJob.objects.count() == 1:
            run(owner, [ada(customFields={"segment": "again"})])

    assert requests.erase(subject(owner), step=again).counts == {"record": 0, "earlier": 1, "failed": 0, "sent": 1}
    assert requests.find(subject(owner)).counts == {"record": 1, "earlier": 0, "failed": 0, "sent": 1}
    assert stored_by(owner)["customer", ADA]["customFields"] == {"segment": "again"}


def test_a_dry_run_is_committed_without_what_was_erased(owner: Caller) -> None:
    checked = dry_run(owner, [*records(3), ada()])
    erase(owner)
    assert [line["index"] for line in changes_of(checked)] == [0, 1, 2]
    job = commit_of(owner, checked)
    work()
    done = account_of(job)
    assert (done.created, done.superseded, done.failed) == (3, 1, 0)
    assert requests.find(subject(owner)).total == 0


@pytest.mark.parametrize("is_worked_off", [False, True])
def test_a_dry_run_committed_meanwhile_brings_nobody_back(owner: Caller, is_worked_off: bool) -> None:
    """The import is newer than the erasure and its content older."""
    run(owner, records(1))
    checked = dry_run(owner, [ada(), *records(3)])

    def commit(done: int, total: int) -> None:
        if done == 1 and not ImportJob.objects.filter(dry_run=checked).exists():
            commit_of(owner, checked)
            if is_worked_off:
                work()

    requests.erase(subject(owner), step=commit)
    work()
    assert requests.find(subject(owner)).total == 0
    assert account_of(ImportJob.objects.get(dry_run=checked)).status == "completed"


def test_related_records_go_with_the_person_where_that_is_asked_for(owner: Caller) -> None:
    order = {"customerId": ADA}
    run(owner, [ada(), record("O-1", "order", attributes=order), record("O-2", "order", attributes={"note": ADA})])
    run(owner, [record("O-1", "order", attributes={"customerId": "somebody else"})])
    run(owner, [record("O-3", "order", attributes=order), record("O-4", "order", attributes=order, customFields=[])])
    answer = erase(owner, related=(path.parse("attributes.customerId"),))
    assert answer.counts == {"record": 2, "earlier": 1, "failed": 1, "sent": 4}
    assert sorted(external_id for _, external_id in stored_by(owner)) == ["O-1", "O-2"]


def test_an_undo_leaves_out_what_was_erased(owner: Caller) -> None:
    run(owner, [ada(), record("A"), record("B")])
    job = run(owner, [ada(customFields={"segment": "new"}), record("A", customFields={"tier": "1"}), record("C")])
    erase(owner)
    again = run(owner, [ada(customFields={"segment": "again"})])
    undoing.start(job)
    with acting_as(Actor("system", "worker-1")):
        while undoing.undo_next():
            pass
    done = Undo.objects.get(job=job)
    assert (done.state, done.removed, done.restored, done.kept, done.gone) == ("done", 1, 1, 0, 0)
    assert {external_id: "customFields" in content for (_, external_id), content in stored_by(owner).items()} == {
        ADA: True, "A": False, "B": False
    }  # fmt: skip
    assert again.created == 1


def test_only_the_named_type_goes(owner: Caller) -> None:
    run(owner, [record("7"), record("7", "product")])
    requests.erase(Subject(owner.customer.pk, "7", types=frozenset({"product"})))
    assert list(stored_by(owner)) == [("customer", "7")]


def test_what_is_erased_moves_under_a_new_data_key_like_the_rest(owner: Caller) -> None:
    everywhere(owner)
    erase(owner)
    assert rotation.begin(owner.customer, now=database_now())
    list(key_rotation.work_off(owner.customer))
    rings.forget()
    assert CANARY.encode() not in everything_of(owner)
    work()
    assert requests.find(subject(owner)).total == 0


def test_imports_a_rotation_and_erasures_get_along(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """The person comes with every import, keys rotate, erasures run side by side: no deadlock, nothing is left."""
    monkeypatch.setattr("imports.reencryption.CHUNK_ROWS", 7)
    over, raised = Event(), []

    def again_and_again(function: Callable[[], object]) -> Callable[[], None]:
        def loop() -> None:
            try:
                with acting_as(Actor("command", "tests")):
                    while not over.is_set():
                        function()
            except BaseException as error:  # noqa: BLE001 - handed to the test
                raised.append(error)
            finally:
                connections.close_all()

        return loop

    def rotate() -> None:
        rotation.begin(owner.customer, now=database_now())
        list(key_rotation.work_off(owner.customer))

    loops: list[Callable[[], object]] = [lambda: erase(owner), lambda: erase(owner), rotate, work]
    threads = [Thread(target=again_and_again(function)) for function in loops]
    for thread in threads:
        thread.start()
    jobs = []
    for number in range(12):
        jobs.append(push(owner, [*records(12, f"{number}"), ada(), bad_ada(), *records(3, "same")]))
        work(batches=1)
    over.set()
    for thread in threads:
        thread.join()
    assert raised == []
    work()
    erase(owner)
    for job in jobs:
        assert account_of(job).total == 17
    assert CANARY.encode() not in everything_of(owner)
    assert len(stored_by(owner)) == 12 * 12 + 3


def test_a_customer_that_was_erased_has_nothing_to_erase(owner: Caller) -> None:
    run(owner, [ada()])
    erasure.erase(owner.customer, now=database_now())
    rings.forget()
    with pytest.raises(rings.ErasedError):
        erase(owner)
