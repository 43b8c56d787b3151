import io
import json
from typing import Any

import msgspec
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now

from audit.models import AuditEvent
from imports import checking, mapping_versions, rehearsal
from imports.mapping.definition import FieldRule, RecordRule, Transform
from imports.mapping.mistake import UnfitMapping
from imports.models import FailedRecord, ImportBatch, ImportJob
from imports.models import Mapping as Version
from imports.rehearsal import Rehearsal, rehearse
from tests.imports.dry_runs import dry_run
from tests.imports.mappings import field, mapping, publish
from tests.imports.pipeline import Caller, acting_as_command, bad_record, record, run
from tests.imports.test_changes import Statements

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_batches")]


def draft(caller: Caller, *fields: FieldRule, **members: Any) -> Version:
    with acting_as_command():
        return mapping_versions.draft(caller.customer, mapping(*fields, **members))


def rehearsed(version: Version, **others: Any) -> Rehearsal:
    with acting_as_command():
        return rehearse(version, **others)


def shown(found: Rehearsal) -> dict[str, Any]:
    return dict(json.loads(msgspec.json.encode(found)))


def person(number: int, **attributes: Any) -> dict[str, Any]:
    attributes = {"name": f"Person number {number}", "mail": f"person{number}@example.com", "n": number, **attributes}
    return record(f"C-{number}", attributes=attributes)


NAME = field("attributes.name")
N = field("attributes.n", type="integer")
MAIL = field("attributes.mail", classification="confidential")


def test_each_record_is_counted_once_by_what_becomes_of_it(owner: Caller) -> None:
    publish(owner, mapping(NAME, N, MAIL))
    run(
        owner,
        [
            *(person(number) for number in range(12)),
            person(12, n="twelve"),  # fails with the published one
            person(13, n="x" * 30),  # and with the draft
            bad_record("C-14"),
            record("O-1", "order"),
            person(3),
        ],
    )
    version = draft(
        owner,
        field("attributes.name", transforms=(Transform("upper"),)),
        field("attributes.n", source="attributes.n", type="string"),
        MAIL,
        rules=(
            RecordRule(code="n_odd", that="attributes.n != '7'", message="n must not be 7."),
            RecordRule(code="n_long", that="$length(attributes.n) < 20", message="n must be short."),
        ),
    )
    found = rehearsed(version)
    assert (found.records, found.unchanged, found.changed) == (15, 0, 11)
    assert (found.newly_failing, found.newly_passing, found.failing) == (1, 1, 2)
    assert (found.version, found.against, found.is_complete, found.skipped) == (2, 1, True, 0)
    assert found.places == {"/attributes/n": 11, "/attributes/name": 11}
    assert [(reason.code, reason.place, reason.count) for reason in found.reasons] == [("n_odd", "", 1)]
    assert FailedRecord.objects.count() == 3


def test_samples_show_places_that_differ_masked_by_the_draft(owner: Caller) -> None:
    publish(owner, mapping(NAME, N, MAIL, field("attributes.old", classification="public")))
    job = run(owner, [person(1, old="seen before")])
    version = draft(
        owner,
        field("attributes.name", transforms=(Transform("upper"),), classification="restricted"),
        field("attributes.n", type="string", source="attributes.n", transforms=(Transform("prefix", {"text": "#"}),)),
        field("attributes.mail", transforms=(Transform("upper"),), classification="confidential"),
        unmapped="drop",
    )
    (sample,) = shown(rehearsed(version))["samples"]
    assert sample == {
        "outcome": "changed",
        "jobId": str(job.uuid),
        "index": 0,
        "changeCount": 4,
        "changes": [
            {"place": "/attributes/mail", "before": "pe***om", "after": "PE***OM"},
            {"place": "/attributes/n", "before": 1, "after": "#1"},
            {"place": "/attributes/name", "before": "***", "after": "***"},
            {"place": "/attributes/old", "before": "***"},
        ],
    }


def test_a_record_that_fails_or_passes_anew_is_shown_masked_with_its_reason(owner: Caller) -> None:
    publish(owner, mapping(NAME, MAIL, unmapped="drop"))
    run(owner, [person(1, mail=None), person(2)])
    version = draft(
        owner,
        field("attributes.name", classification="restricted"),
        field("attributes.mail", mandatory=True, absent="null", classification="confidential"),
        unmapped="drop",
    )
    found = shown(rehearsed(version))
    outcomes = {sample["outcome"]: sample for sample in found["samples"]}
    assert set(outcomes) <= {"newly_failing", "newly_passing", "changed"}
    text = json.dumps(found)
    assert "Person number" not in text
    assert "person2@example.com" not in text
    assert "C-2" not in text


def test_no_value_and_no_name_of_the_caller_s_gets_out(owner: Caller) -> None:
    """Whatever the versions do with them: kept as they came, moved, failing, in lists and objects."""
    canary, name_canary = "canary-7c1f", "canary_name"
    publish(owner, mapping(NAME, unmapped="keep"))
    sent = [
        person(1, **{name_canary: canary, "list": [{name_canary: canary}], "deep": {name_canary: {"x": canary}}}),
        record(f"{canary}-id", attributes={"name": canary, "n": canary}, customFields={name_canary: canary}),
    ]
    run(owner, sent)
    hidden = {"classification": "restricted"}
    for version in (
        draft(owner, field("attributes.name", transforms=(Transform("upper"),), **hidden), unmapped="drop"),
        draft(owner, field("attributes.title", source="attributes.name", **hidden), unmapped="keep"),
        draft(owner, field("attributes.items", "attributes.list", type="list", **hidden), unmapped="keep"),
        draft(owner, field("attributes.name", type="integer", **hidden), unmapped="refuse"),
        draft(owner, field("attributes.deep.x", source="attributes.name", **hidden), unmapped="refuse"),
    ):
        found = rehearsed(version)
        assert found.samples
        with_lines = io.StringIO()
        with acting_as_command():
            call_command("mappings", "rehearse", "owner", "customer", str(version.version), stdout=with_lines)
        for text in (json.dumps(shown(found)), with_lines.getvalue()):
            assert canary not in text.lower()
            assert name_canary not in text


def test_without_a_published_version_it_is_beside_the_records_as_they_came(owner: Caller) -> None:
    run(owner, [person(1), person(2)])
    found = rehearsed(draft(owner, NAME, N, MAIL))
    assert (found.against, found.records, found.unchanged) == (None, 2, 2)
    found = rehearsed(draft(owner, NAME, unmapped="drop"))
    assert (found.changed, found.places) == (2, {"/attributes/*": 2})


def test_the_newest_records_come_first_and_no_more_than_asked_for(owner: Caller) -> None:
    publish(owner, mapping(NAME, N, MAIL))
    run(owner, [person(number) for number in range(15)])
    newer = run(owner, [person(number) for number in range(12)])
    found = rehearsed(draft(owner, NAME, N, unmapped="drop"), last=11, samples=20)
    assert found.records == 11
    assert [(sample.job_id, sample.index) for sample in found.samples] == [
        (str(newer.uuid), index) for index in range(11, 0, -1)
    ]
    assert len(rehearsed(draft(owner, NAME, unmapped="drop"), samples=3).samples) == 3


def test_only_what_is_kept_of_this_customer_s_imports_is_looked_at(owner: Caller, stranger: Caller) -> None:
    run(stranger, [person(1)])
    dry_run(owner, [person(1)])
    removed, expired = run(owner, [person(1)]), run(owner, [person(2)])
    ImportBatch.objects.filter(job=removed).update(payload=None)
    ImportJob.objects.filter(pk=expired.pk).update(expires_at=Now())
    assert rehearsed(draft(owner, NAME)).records == 0


def test_what_ended_its_worker_is_not_tried(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    job = run(owner, [person(1), bad_record("C-poison"), person(2)])
    FailedRecord.objects.filter(job=job).update(code="kills_worker")
    plain = checking.read

    def dying(raw: bytes | memoryview) -> Any:
        assert b"poison" not in bytes(raw)
        return plain(raw)

    monkeypatch.setattr(checking, "read", dying)
    found = rehearsed(draft(owner, NAME, N, MAIL))
    assert (found.records, found.skipped) == (2, 1)


def test_it_ends_when_its_time_is_up(owner: Caller) -> None:
    run(owner, [person(number) for number in range(15)])
    found = rehearsed(draft(owner, NAME), seconds=0)
    assert (found.records, found.is_complete) == (0, False)


def test_it_is_audited_and_writes_nothing_else(owner: Caller) -> None:
    publish(owner, mapping(NAME, N, MAIL))
    run(owner, [person(1), person(2)])
    version = draft(owner, NAME, N, unmapped="drop")
    statements = Statements()
    with connection.execute_wrapper(statements):
        rehearsed(version)
    event = AuditEvent.objects.get(action="mapping.rehearsed")
    assert (event.target, event.record_count) == ("mapping:owner/customer/2", 2)
    assert event.detail == {
        "unchanged": 0,
        "changed": 2,
        "newly_failing": 0,
        "newly_passing": 0,
        "failing": 0,
        "skipped": 0,
        "samples": 2,
    }
    written = [sql for sql in statements if sql.lstrip().split()[0] in ("INSERT", "UPDATE", "DELETE", "COPY")]
    assert all("audit_" in sql for sql in written)


def test_a_draft_that_is_not_fit_says_why(owner: Caller) -> None:
    version = draft(owner, field("attributes.name", transforms=(Transform("nothing"),)))
    with pytest.raises(UnfitMapping):
        rehearsed(version)
    with pytest.raises(CommandError, match="there is no such transform"):
        call_command("mappings", "rehearse", "owner", "customer")


def test_the_command_prints_lines_or_json(owner: Caller) -> None:
    publish(owner, mapping(NAME, N, MAIL))
    run(owner, [person(number) for number in range(12)])
    draft(owner, field("attributes.name", transforms=(Transform("upper"),)), N, MAIL)
    out = io.StringIO()
    call_command("mappings", "rehearse", "owner", "customer", "--last", "5", "--samples", "1", stdout=out)
    lines = out.getvalue().splitlines()
    assert lines[0] == "owner customer version 2 beside version 1, 5 records:"
    assert "          5 changed" in lines
    assert "          5 change /attributes/name" in lines
    assert '  ~ /attributes/name: "Person number 11" -> "PERSON NUMBER 11"' in lines
    out = io.StringIO()
    call_command("mappings", "rehearse", "owner", "customer", "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert (told["records"], told["changed"], told["isComplete"], told["newlyFailing"]) == (12, 12, True, 0)
    with pytest.raises(CommandError, match="has no mapping for order"):
        call_command("mappings", "rehearse", "owner", "order")
    with pytest.raises(CommandError, match="a whole number from 1"):
        call_command("mappings", "rehearse", "owner", "customer", "--last", "0")


def test_a_long_value_is_cut_off(owner: Caller) -> None:
    run(owner, [person(1, name="n" * 5_000)])
    (sample,) = rehearsed(draft(owner, field("attributes.name", transforms=(Transform("upper"),)), N, MAIL)).samples
    assert len(str(sample.changes[0].after)) == rehearsal.MAX_SHOWN_LENGTH


def test_hostile_expressions_end_each_for_itself(owner: Caller) -> None:
    run(owner, [person(1), person(2)])
    version = draft(owner, FieldRule(target="attributes.a", type="string", expression="($f := function(){$f()}; $f())"))
    found = rehearsed(version, samples=1)
    assert (found.records, found.newly_failing) == (2, 2)
