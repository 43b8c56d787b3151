"""Records through a published mapping, from the body to the table, and what becomes of those that do not fit."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import AuditEvent
from customers.keyring import keyring
from imports import checking, mappers, mapping_versions, mending, redriving, results
from imports.closing import close
from imports.failures import encode_problems, failure_row, open_failures
from imports.lookup import look_up
from imports.mapping.definition import FieldRule, RecordRule, Transform
from imports.models import FailedRecord, ImportJob, Record
from imports.opening import open_job
from imports.parts import receive
from imports.refusal import Refusal
from imports.status import describe, summarise
from imports.validating import Verdict, validate
from tests.imports.mappings import field, mapping, publish
from tests.imports.mishaps import retry_all, states_of
from tests.imports.pipeline import (
    METADATA,
    Caller,
    account_of,
    acting_as_command,
    bad_record,
    calling,
    in_threads,
    outcomes_of,
    push,
    record,
    records,
    run,
    stored_by,
    submission,
    work,
)

pytestmark = pytest.mark.django_db(transaction=True)

NAME = field("attributes.name", "attributes.Name", transforms=(Transform("trim"),), mandatory=True)
AGE = FieldRule(target="attributes.age", type="integer", source="attributes.Age")
SECRET = "personal-4711"


def person(external_id: str = "A", **attributes: Any) -> dict[str, Any]:
    return record(external_id, attributes={"Name": f" {external_id} ", **attributes})


def attributes_of(caller: Caller, external_id: str = "A", record_type: str = "customer") -> Any:
    return stored_by(caller)[record_type, external_id]["attributes"]


def failures_of(job: ImportJob) -> list[FailedRecord]:
    return list(FailedRecord.objects.filter(job=job).order_by("index"))


def problems_of(job: ImportJob) -> list[list[checking.Problem]]:
    keys = keyring(job.customer_id)
    return [failure.problems for failure in open_failures(job, failures_of(job), keys)]


def test_the_mapped_record_is_what_is_stored(owner: Caller) -> None:
    publish(owner, mapping(NAME, AGE))
    job = run(owner, [person(Age="41"), record("B", "order", attributes={"Name": " kept "})])
    assert attributes_of(owner) == {"name": "A", "age": 41}
    assert attributes_of(owner, "B", "order") == {"Name": " kept "}, "a type without a mapping is stored as it came"
    assert outcomes_of(job) == ["created", "created"]
    found = look_up(customer_id=owner.customer.pk, record_type="customer", external_id="A")
    assert found is not None
    assert json.loads(bytes(found["record"])) == {"id": "A", "type": "customer", "attributes": {"name": "A", "age": 41}}


def test_what_the_caller_gets_back_is_what_was_sent(owner: Caller) -> None:
    publish(owner, mapping(NAME, AGE))
    sent = person(Age="x")
    job = run(owner, [sent])
    (batch,) = results.batches_of(job, "failed")
    (line,) = results.lines(job, batch, "failed")
    assert json.loads(bytes(line["data"])) == sent


def test_records_that_map_to_the_same_are_unchanged(owner: Caller) -> None:
    publish(owner, mapping(NAME, unmapped="drop"))
    run(owner, [person()])
    again = run(owner, [record("A", attributes={"Name": "A", "Noise": 2})])
    assert outcomes_of(again) == ["unchanged"]


def test_a_custom_field_may_be_mapped_and_none_is_left_empty(owner: Caller) -> None:
    publish(
        owner, mapping(field("attributes.tier", "customFields.Tier"), field("customFields.name", "attributes.Name"))
    )
    run(owner, [record("A", attributes={"Name": "n"}, customFields={"Tier": "gold"})])
    run(owner, [record("B", attributes={}, customFields={"Tier": "gold"})])
    stored = stored_by(owner)
    assert stored["customer", "A"] == {
        "id": "A",
        "type": "customer",
        "attributes": {"tier": "gold"},
        "customFields": {"name": "n"},
    }
    assert stored["customer", "B"] == {"id": "B", "type": "customer", "attributes": {"tier": "gold"}}


def test_a_number_keeps_its_digits_through_a_mapping(owner: Caller) -> None:
    amount = FieldRule(target="attributes.amount", type="decimal", source="attributes.Amount")
    publish(owner, mapping(amount, unmapped="keep"))
    run(owner, [b'{"id":"A","type":"customer","attributes":{"Amount":10.10,"Big":12345678901234567890.10}}'])
    row = Record.objects.get()
    opened = keyring(owner.customer.pk).opener("imports_record", "payload")
    content = opened.open(bytes(row.payload), b"customer\0" + bytes(row.key))
    assert content == b'{"attributes":{"Big":12345678901234567890.10,"amount":10.10},"id":"A","type":"customer"}'


@pytest.mark.parametrize(
    ("unmapped", "outcome", "attributes"),
    [
        ("keep", "created", {"name": "A", "Nick": "Al"}),
        ("drop", "created", {"name": "A"}),
        ("refuse", "failed", None),
    ],
)
def test_a_field_without_a_rule_is_kept_dropped_or_refused(
    owner: Caller, unmapped: Any, outcome: str, attributes: Any
) -> None:
    publish(owner, mapping(NAME, unmapped=unmapped))
    job = run(owner, [person(Nick="Al")])
    assert outcomes_of(job) == [outcome]
    assert {key: content["attributes"] for key, content in stored_by(owner).items()} == (
        {("customer", "A"): attributes} if attributes else {}
    )
    if outcome == "failed":
        (row,) = failures_of(job)
        assert (row.code, row.pointer, row.stage) == ("unmapped_field", "/attributes/*", "map")


def test_an_ignored_field_is_neither_kept_nor_refused(owner: Caller) -> None:
    publish(owner, mapping(NAME, ignored=("attributes.Nick",)))
    run(owner, [person(Nick="Al")])
    assert attributes_of(owner) == {"name": "A"}


RULE = RecordRule(code="of_age", that="attributes.age >= 18", message="A customer must be of age.")
SCHEMA = {
    "properties": {"attributes": {"properties": {"name": {"maxLength": 5}, "tags": {"items": {"type": "string"}}}}}
}


def strict(caller: Caller) -> None:
    tags = FieldRule(target="attributes.tags", type="list", source="attributes.Tags")
    publish(caller, mapping(NAME, AGE, tags, rules=(RULE,), schema=SCHEMA))


def test_each_stage_names_its_failures_for_the_owner_and_for_staff(owner: Caller) -> None:
    strict(owner)
    job = run(
        owner,
        [
            person("check", **{SECRET: "\0"}),
            person("map", Age="x"),
            person("unmapped", Age=20, **{SECRET: 1}),
            person("rule", Age=17),
            record("schema", attributes={"Name": "n", "Age": 20, "Tags": ["a", 7]}),
            record("empty", attributes={"Age": 20}),
        ],
    )
    rows = [(row.stage, row.code, row.pointer, row.category) for row in failures_of(job)]
    assert rows == [
        ("check", "nul_character", "/attributes/*", "permanent"),
        ("map", "not_a_number", "/attributes/Age", "permanent"),
        ("map", "unmapped_field", "/attributes/*", "permanent"),
        ("validate", "of_age", "", "permanent"),
        ("validate", "schema_type", "/attributes/tags/*", "permanent"),
        ("map", "field_missing", "/attributes/Name", "permanent"),
    ]
    errors = describe(job, job.created_at)["errors"]
    assert [(error["pointer"], error.get("target")) for error in errors] == [
        (f"/attributes/{SECRET}", None),
        ("/attributes/Age", "/attributes/age"),
        (f"/attributes/{SECRET}", ""),
        ("", ""),
        ("", "/attributes/tags/1"),
        ("/attributes/Name", "/attributes/name"),
    ]
    assert errors[3]["error"] == failures_of(job)[3].message == RULE.message
    assert len({bytes(row.group_key) for row in failures_of(job)}) == 6
    for row in failures_of(job):
        assert SECRET not in f"{row.pointer} {row.message} {row.code}"
    described = describe(job, job.created_at)["errorSummary"]
    assert {"code": "schema_type", "pointer": "/attributes/tags/*", "count": 1} in described


def test_every_problem_of_a_record_is_kept(owner: Caller) -> None:
    strict(owner)
    job = run(owner, [record("A", attributes={"Age": "x", "Tags": 1, "Other": 2})])
    (problems,) = problems_of(job)
    assert [problem.code for problem in problems] == ["field_missing", "not_a_number", "wrong_type", "unmapped_field"]


def test_the_code_of_a_rule_is_not_taken_for_a_reason_of_the_server() -> None:
    passing = checking.Problem("lock_timeout", "")
    assert (passing.stage, passing.message) == ("store", checking.STORE_CODES["lock_timeout"])
    own = checking.Problem("lock_timeout", "", "", "validate", "", "Mine.")
    assert (own.stage, own.message) == ("validate", "Mine.")
    from imports import failures

    assert failures.category_of(passing) == "retryable"
    assert failures.category_of(own) == "permanent"


def test_problems_stored_by_older_releases_are_read(owner: Caller) -> None:
    job = run(owner, [bad_record("A")])
    row = FailedRecord.objects.get()
    sealer = keyring(owner.customer.pk).sealer("imports_failedrecord", "problems")
    old = b'[{"code":"custom_field_not_a_string","pointer":"/customFields/tier"}]'
    row.problems = sealer.seal(old, failure_row(job.uuid, 0))
    row.save(update_fields=["problems"])
    assert problems_of(job) == [[checking.Problem("custom_field_not_a_string", "/customFields/tier")]]
    assert describe(job, job.created_at)["errors"][0]["error"] == checking.CODES["custom_field_not_a_string"]
    new = json.loads(encode_problems([checking.Problem("lock_timeout", "/a")]))
    assert {"code": "lock_timeout", "pointer": "/a"}.items() <= new[0].items(), "an older release reads what is new"


def test_a_long_pointer_leads_to_the_nearest_place_above(owner: Caller) -> None:
    publish(owner, mapping(NAME))
    job = run(owner, [record("A", attributes={"Name": "A", "x" * 2000: 1})])
    (problems,) = problems_of(job)
    assert (problems[0].code, problems[0].pointer) == ("unmapped_field", "/attributes")


def test_a_mapped_record_that_grew_too_large_fails_alone(owner: Caller) -> None:
    publish(owner, mapping(*(field(f"attributes.copy{number}", "attributes.Text") for number in range(3))))
    job = run(owner, [record("A", attributes={"Text": "x" * 400_000}), record("B", "order")])
    assert outcomes_of(job) == ["failed", "created"]
    (row,) = failures_of(job)
    assert (row.stage, row.code, row.pointer) == ("map", "mapped_too_large", "")


def test_a_job_shows_the_versions_it_runs_with(owner: Caller) -> None:
    assert describe(run(owner, [record("A")]), timezone.now())["mappings"] == {}
    publish(owner, mapping(NAME), mapping(NAME, AGE), mapping(record_type="order"))
    job = run(owner, [person()])
    assert describe(job, job.created_at)["mappings"] == {"customer": 2, "order": 1}
    event = AuditEvent.objects.get(action="import.accepted", target=f"import:{job.uuid}")
    assert event.detail == {"batches": 1, "mappings": ["customer/2", "order/1"]}
    dry = push(owner, [person()], kind=ImportJob.Kind.DRY_RUN)
    assert dry.mappings == {"customer": 2, "order": 1}


@pytest.mark.usefixtures("small_batches")
def test_a_running_job_goes_on_with_the_version_it_was_accepted_with(owner: Caller) -> None:
    publish(owner, mapping(NAME))
    job = push(owner, [person(f"A{n}") for n in range(25)])
    work(batches=1)
    publish(owner, mapping(field("attributes.other", "attributes.Name")))
    work()
    assert {tuple(content["attributes"]) for content in stored_by(owner).values()} == {("name",)}
    assert outcomes_of(account_of(job)) == ["created"] * 25
    run(owner, [person("B")])
    assert list(attributes_of(owner, "B")) == ["other"]


def test_a_job_of_a_release_without_mappings_runs_without(owner: Caller) -> None:
    job = push(owner, [person()])
    ImportJob.objects.filter(pk=job.pk).update(mappings=None)
    publish(owner, mapping(NAME))
    work()
    assert attributes_of(owner) == {"Name": " A "}
    assert describe(account_of(job), job.created_at)["mappings"] is None


def test_a_job_accepted_before_the_archiving_runs_with_its_version_and_one_after_it_without(owner: Caller) -> None:
    publish(owner, mapping(NAME))
    push(owner, [person("A")])
    with acting_as_command():
        mapping_versions.archive(owner.customer, "customer")
    run(owner, [person("B")])
    assert attributes_of(owner, "A") == {"name": "A"}
    assert attributes_of(owner, "B") == {"Name": " B "}


def test_a_job_in_parts_is_pinned_when_it_is_closed(owner: Caller) -> None:
    publish(owner, mapping(NAME))
    with calling(owner):
        job = open_job(submission(owner, json.dumps({"metadata": METADATA}).encode()))
        assert summarise(job, job.created_at)["mappings"] is None
        body = json.dumps({"records": [person()]}).encode()
        receive(submission(owner, body), job=job, number=1, wire_bytes=len(body))
    publish(owner, mapping(field("attributes.other", "attributes.Name")))
    with calling(owner):
        job = close(job)
    assert job.mappings == {"customer": 2}
    work()
    assert list(attributes_of(owner)) == ["other"]
    account_of(job)


def test_imports_accepted_while_versions_are_published_run_with_one_that_was_published_then(owner: Caller) -> None:
    """Ten acceptances among ten publications: each job's pin is the newest publication before it, by the trail."""
    drafts = []
    with acting_as_command():
        drafts = [mapping_versions.draft(owner.customer, mapping(NAME, AGE)) for _ in range(10)]

    def publishing() -> None:
        with acting_as_command():
            for draft in drafts:
                mapping_versions.publish(draft)

    def accepting() -> list[ImportJob]:
        return [push(owner, records(1, f"P{number}"), kind=ImportJob.Kind.DRY_RUN) for number in range(10)]

    in_threads(publishing, accepting, accepting)
    current: dict[str, int] = {}
    accepted = 0
    for event in AuditEvent.objects.order_by("sequence"):
        if event.action == "mapping.published":
            current = {"customer": int(event.target.rpartition("/")[2])}
        elif event.action == "dry_run.accepted":
            job = ImportJob.objects.get(uuid=event.target.partition(":")[2])
            assert job.mappings == current
            accepted += 1
    assert accepted == 20


def retry_job(caller: Caller, job: ImportJob) -> None:
    with calling(caller):
        redriving.retry_job(job)
    retry_all()


def test_a_retry_after_the_mapping_was_mended_stores_the_failed_records(owner: Caller) -> None:
    publish(owner, mapping(NAME, FieldRule(target="attributes.age", type="integer", source="attributes.Alter")))
    job = run(owner, [person("A", Age="41"), person("B"), person("C", Age="x")])
    assert outcomes_of(job) == ["failed", "created", "failed"]
    retry_job(owner, job)
    assert outcomes_of(account_of(job)) == ["failed", "created", "failed"], "nothing was mended yet"
    publish(owner, mapping(NAME, AGE))
    retry_job(owner, job)
    assert outcomes_of(account_of(job)) == ["created", "created", "failed"]
    assert attributes_of(owner, "A") == {"name": "A", "age": 41}
    (left,) = [row for row in failures_of(job) if row.state == "open"]
    assert (left.stage, left.code, left.pointer) == ("map", "not_a_number", "/attributes/Age")
    assert describe(account_of(job), job.created_at)["mappings"] == {"customer": 1}, "the pin tells of the batches"


def test_a_retry_runs_without_a_mapping_where_none_is_published_any_more(owner: Caller) -> None:
    publish(owner, mapping(NAME))
    job = run(owner, [person(Age=1)])
    with acting_as_command():
        mapping_versions.archive(owner.customer, "customer")
    retry_job(owner, job)
    assert attributes_of(owner) == {"Name": " A ", "Age": 1}
    assert states_of(job) == ["resolved"]


def edit(caller: Caller, row: FailedRecord, content: dict[str, Any]) -> FailedRecord:
    with calling(caller):
        return mending.edit(row, json.dumps(content).encode(), attempt=row.attempts)


def test_an_edit_that_would_fail_in_the_mapping_is_refused_with_its_places(owner: Caller) -> None:
    strict(owner)
    job = run(owner, [person(Age="x")])
    (row,) = failures_of(job)
    with pytest.raises(Refusal) as refused:
        edit(owner, row, person(Age=["x"], More=1))
    assert [(pointer, code) for pointer, code, _ in refused.value.errors] == [
        ("/record/attributes/Age", "wrong_type"),
        ("/record/attributes/More", "unmapped_field"),
    ]
    with pytest.raises(Refusal) as refused:
        edit(owner, row, person("toolong", Age=20, Tags=[1]))
    schema = refused.value.errors[-1]
    assert schema[0] == "/record"
    assert "/attributes/tags/0 of the mapped record" in schema[2]
    edit(owner, row, person(Age=41))
    retry_all()
    assert attributes_of(owner) == {"name": "A", "age": 41}
    assert outcomes_of(account_of(job)) == ["created"]


def test_a_verdict_is_what_an_import_then_does(owner: Caller) -> None:
    strict(owner)
    run(owner, [person("A", Age=20), person("B", Age=20)])
    sent = [
        person("A", Age="20"),
        person("B", Age=21),
        person("C", Age=22),
        person("D", Age=1),
        person("E", Age="x"),
        person("F", Age=20, Tags=[1]),
        bad_record("G"),
    ]
    with calling(owner):
        verdict = validate(submission(owner, sent))
    assert isinstance(verdict, Verdict)
    job = run(owner, sent)
    done = describe(job, job.created_at)
    for member in ("errors", "errorSummary", "errorsTruncated"):
        assert verdict.body[member] == done[member]
    assert verdict.body["would"] == {"create": 1, "update": 1, "unchanged": 1}
    assert (job.created, job.updated, job.unchanged, job.failed) == (1, 1, 1, 4)


def test_a_dry_run_finds_what_an_import_then_does(owner: Caller) -> None:
    strict(owner)
    sent = [person("A", Age=20), person("B", Age=1), person("C", Age="x")]
    dry = run(owner, sent, kind=ImportJob.Kind.DRY_RUN)
    assert not Record.objects.exists()
    assert outcomes_of(dry) == outcomes_of(run(owner, sent)) == ["created", "failed", "failed"]


@pytest.fixture
def forgotten() -> Iterator[None]:
    """No version is known to this process yet."""
    mappers._known._mappers.clear()
    yield
    mappers._known._mappers.clear()


@pytest.mark.usefixtures("small_batches", "forgotten")
def test_a_version_is_read_once_and_no_record_costs_a_query(owner: Caller) -> None:
    publish(owner, mapping(NAME))
    push(owner, [person(f"A{n}") for n in range(40)])  # of the last batch's end the names of the fields are asked

    def queries() -> list[str]:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            work(batches=1)
        return [
            query["sql"] for query in captured if "imports_mapping" in query["sql"] or "fieldmapping" in query["sql"]
        ]

    assert len(queries()) == 2
    assert queries() == queries() == []


@pytest.mark.usefixtures("forgotten")
def test_this_process_keeps_a_bounded_number_of_versions(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mappers, "_KEPT", 3)
    for number in range(5):
        publish(owner, mapping(NAME, unmapped="drop" if number % 2 else "keep"))
        mappers.published(owner.customer.pk)
    assert [name[2] for name in mappers._known._mappers] == [3, 4, 5]


def test_no_job_sees_the_mapping_of_another_customer(owner: Caller, stranger: Caller) -> None:
    publish(owner, mapping(NAME))
    job = run(stranger, [person()])
    assert attributes_of(stranger) == {"Name": " A "}
    assert job.mappings == {}
