"""One person's data is found wherever it lies, and handed out as one document."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from audit.models import AuditEvent
from imports import mending
from imports.mapping import path
from imports.models import FailedRecord, ImportBatch
from imports.personal import requests
from imports.personal.document import as_json
from imports.personal.search import Search
from imports.personal.subject import Subject
from imports.refusal import Refusal
from tests.imports.personal.people import ADA, CANARY, ada, everywhere
from tests.imports.pipeline import Caller, acting_as_command, push, record, records, run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("small_batches")]


@pytest.fixture(autouse=True)
def acting() -> Iterator[None]:
    with acting_as_command():
        yield


def subject(caller: Caller, external_id: str = ADA, **options: object) -> Subject:
    return replace(Subject(caller.customer.pk, external_id), **options)  # type: ignore[arg-type]


def test_every_place_is_looked_at(owner: Caller, stranger: Caller) -> None:
    run(stranger, [ada()])
    jobs = everywhere(owner)
    found = list(Search(subject(owner)).run())
    assert Counter(content.place for content in found) == {"record": 1, "earlier": 1, "sent": 8, "failed": 4}
    assert {content.job.pk for content in found} >= {job.pk for job in jobs}
    assert all(CANARY.encode() in content.content for content in found)
    assert [content.about["outcome"] for content in found if content.place == "sent"] == [
        "created", "superseded", "updated", "failed", "failed", "failed", "failed", "pending"
    ]  # fmt: skip
    assert [content.about["state"] for content in found if content.place == "failed"] == [
        "open", "dry_run", "open", "retrying"
    ]  # fmt: skip
    edited = [content.edited for content in found if content.edited is not None]
    assert [json.loads(content)["id"] for content in edited] == [ADA]


def test_an_id_is_found_in_each_of_its_spellings(owner: Caller) -> None:
    raws = [
        b'{"id":"Zo\\u00eb","type":"customer","attributes":{}}',
        '{"type":"order","attributes":{},"id":"Zoe\u0308"}'.encode(),
        '{ "id" : "Zoë", "type": "robot" }'.encode(),
    ]
    run(owner, [*raws, *records(3)])
    for spelling in ("Zoë", "Zoe\u0308"):
        found = requests.find(subject(owner, spelling))
        assert found.counts == {"record": 2, "earlier": 0, "failed": 1, "sent": 3}
        assert found.types == ["customer", "order", "unknown"]


def test_a_type_narrows_it(owner: Caller) -> None:
    run(owner, [record("7"), record("7", "product"), record("7", "robot")])
    assert requests.find(subject(owner, "7")).counts == {"record": 2, "earlier": 0, "failed": 1, "sent": 3}
    assert requests.find(subject(owner, "7", types=frozenset({"product"}))).counts == {
        "record": 1, "earlier": 0, "failed": 0, "sent": 1
    }  # fmt: skip
    assert requests.find(subject(owner, "7", types=frozenset({"unknown"}))).counts == {
        "record": 0, "earlier": 0, "failed": 1, "sent": 1
    }  # fmt: skip


def orders() -> list[dict[str, object]]:
    return [
        record("O-1", "order", attributes={"customerId": ADA, "text": "own"}),
        record("O-2", "order", attributes={"customerId": "C-2", "note": ADA}),
        record("O-3", "order", attributes={"lines": [{"for": "x"}, {"for": ADA}]}),
        record("O-4", "order", attributes={"customerId": {"id": ADA}}),
        record("O-5", "order", customFields={"tier": 7}, attributes={"customerId": ADA}),
    ]


def test_related_records_are_found_by_their_path(owner: Caller) -> None:
    run(owner, [ada(), *orders()])
    assert requests.find(subject(owner)).counts == {"record": 1, "earlier": 0, "failed": 0, "sent": 1}
    related = (path.parse("attributes.customerId"), path.parse("attributes.lines[*].for"))
    found = list(Search(subject(owner, related=related)).run())
    assert Counter((content.place, content.tie) for content in found) == {
        ("record", "own"): 1, ("record", "related"): 2,
        ("sent", "own"): 1, ("sent", "related"): 3, ("failed", "related"): 1,
    }  # fmt: skip


def test_a_number_at_a_path_counts_by_its_digits(owner: Caller) -> None:
    run(owner, [record("O-1", "order", attributes={"by": 17}), record("O-2", "order", attributes={"by": 170})])
    found = requests.find(subject(owner, "17", related=(path.parse("attributes.by"),)))
    assert found.counts == {"record": 1, "earlier": 0, "failed": 0, "sent": 1}


def test_an_order_that_went_over_to_somebody_else_is_related_only_where_it_was(owner: Caller) -> None:
    run(owner, [record("O-1", "order", attributes={"customerId": ADA})])
    run(owner, [record("O-1", "order", attributes={"customerId": "C-2"})])
    found = requests.find(subject(owner, related=(path.parse("attributes.customerId"),)))
    assert found.counts == {"record": 0, "earlier": 1, "failed": 0, "sent": 1}


def test_what_cannot_be_read_is_found_where_it_is_asked_for(owner: Caller) -> None:
    run(owner, [b'["%s", "Ada"]' % ADA.encode(), b'{"id": ["%s"]}' % ADA.encode(), b"[1]"])
    assert requests.find(subject(owner)).total == 0
    assert requests.find(subject(owner, in_unreadable=True)).counts == {
        "record": 0,
        "earlier": 0,
        "failed": 2,
        "sent": 2,
    }


def test_an_export_is_one_document_with_where_and_when(owner: Caller) -> None:
    jobs = everywhere(owner)
    answer = requests.export(subject(owner))
    read = json.loads(as_json(answer.content))
    assert (read["customer"], read["id"]) == ("owner", ADA)
    assert read["counts"] == {"records": 1, "earlierVersions": 1, "failedRecords": 4, "sent": 8}
    assert [len(read[section]) for section in read["counts"]] == [1, 1, 4, 8]
    (stored,) = read["records"]
    assert stored["data"]["customFields"] == {"segment": "new"}
    assert (stored["jobId"], stored["index"], stored["isRelated"]) == (str(jobs[1].uuid), 4, False)
    assert stored["at"] == stored["at"]
    (edited,) = [entry for entry in read["failedRecords"] if "edited" in entry]
    assert edited["edited"]["attributes"] == {"name": f"Ada {CANARY}"}
    assert edited["pointer"] == f"/customFields/note on {CANARY}"
    assert {entry["kind"] for entry in read["sent"]} == {"import", "dryRun"}


def test_the_trail_knows_a_request_by_a_random_number_and_counts(owner: Caller) -> None:
    run(owner, [ada()])
    answers = [requests.find(subject(owner)), requests.export(subject(owner))]
    events = list(AuditEvent.objects.filter(action__startswith="personal_data.").order_by("sequence"))
    assert [event.action for event in events] == ["personal_data.found", "personal_data.exported"]
    for event, answer in zip(events, answers, strict=True):
        assert event.target == f"personal_data:{answer.request}"
        assert event.record_count == 2
        assert event.detail == {"record": 1, "earlier": 0, "failed": 0, "sent": 1, "unreadable": 0}


def test_a_payload_that_does_not_open_is_counted_and_the_rest_is_found(owner: Caller) -> None:
    job = run(owner, [ada()])
    run(owner, [ada()])
    ImportBatch.objects.filter(job=job).update(payload=b"\x01damaged" * 20)
    answer = requests.find(subject(owner))
    assert (answer.counts["sent"], answer.unreadable) == (1, 1)


def test_an_edit_to_another_id_and_type_is_found(owner: Caller) -> None:
    """Its row says what it was sent as, its blind index what it is now."""
    run(owner, [record("mistyped", "machine")])
    mending.edit(FailedRecord.objects.get(), json.dumps(record("O-1", "order")).encode(), attempt=1)
    for external_id in ("mistyped", "O-1"):
        counts = requests.find(subject(owner, external_id)).counts
        assert (counts["failed"], counts["sent"]) == (1, 1)


def test_a_call_looks_through_and_hands_out_so_much_and_no_more(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    run(owner, [ada(), *records(9)])
    monkeypatch.setattr(requests, "MOST_AT_ONCE", 9)
    for step in (requests.export_at_once, requests.erase_at_once):
        with pytest.raises(Refusal, match="too_much_to_search"):
            step(subject(owner))
    monkeypatch.setattr(requests, "MOST_AT_ONCE", 10)
    assert requests.export_at_once(subject(owner)).total == 2
    monkeypatch.setattr(requests, "MOST_CONTENTS", 1)
    with pytest.raises(Refusal, match="too_much_to_search"):
        requests.export_at_once(subject(owner))


def test_progress_is_told_payload_by_payload(owner: Caller) -> None:
    push(owner, records(35))
    steps: list[tuple[int, int]] = []
    requests.find(subject(owner), step=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
