"""A small cast, the way from a body to the end of its job, and the account that every job must give."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Any

import psycopg
from django.db import connection, connections

from audit.context import Actor, acting_as
from customers import enrolment
from customers.keyring import keyring
from customers.models import Customer
from imports import intake, storing
from imports.envelope import JSON
from imports.intake import Submission
from imports.models import FailedRecord, ImportBatch, ImportJob, Record
from imports.outcome import BY_BYTE, Outcome
from imports.processing import process_next
from imports.refusal import Refusal
from imports.status import current_states, describe

METADATA = {"source": "crm", "version": "1.0.0", "timestamp": "2024-03-15T00:00:00Z"}
REQUEST_ID, SOURCE_IP = "req-0001", "203.0.113.7"


@dataclass(frozen=True, slots=True)
class Caller:
    """A customer's program: whose it is and which key it signs with."""

    customer: Customer
    key: enrolment.IssuedKey


def acting_as_command() -> Any:
    """The context of an administrator's command."""
    return acting_as(Actor("command", "tests"))


def enrol(name: str) -> Caller:
    with acting_as_command():
        return Caller(*enrolment.create_customer(name))


def record(external_id: object = "A-1", record_type: object = "customer", **members: Any) -> dict[str, Any]:
    return {"id": external_id, "type": record_type, "attributes": {"name": f"name of {external_id}"}, **members}


def records(count: int, prefix: str = "A", **members: Any) -> list[dict[str, Any]]:
    return [record(f"{prefix}-{number}", **members) for number in range(count)]


def bad_record(external_id: object = "bad") -> dict[str, Any]:
    return record(external_id, customFields={"tier": 7})


def body_of(sent: Sequence[Any]) -> bytes:
    """The document around the records; bytes among them stand as they are."""
    raws = [item if isinstance(item, bytes) else json.dumps(item).encode() for item in sent]
    return b'{"metadata":' + json.dumps(METADATA).encode() + b',"records":[' + b",".join(raws) + b"]}"


def submission(caller: Caller, sent: Sequence[Any] | bytes, **others: Any) -> Submission:
    body = sent if isinstance(sent, bytes) else body_of(sent)
    settings: dict[str, Any] = {
        "media_type": JSON,
        "body_digest": hashlib.sha256(body).digest(),
        "request_id": REQUEST_ID,
        "source_ip": SOURCE_IP,
        "hmac_key_id": caller.key.key.pk,
    }
    return Submission(customer_id=caller.customer.pk, body=body, **(settings | others))


def calling(caller: Caller) -> Any:
    """The context that the gate puts around a call."""
    return acting_as(Actor("key", caller.key.key_id), source_ip=SOURCE_IP, request_id=REQUEST_ID)


def push(caller: Caller, sent: Sequence[Any] | bytes, *, kind: str = ImportJob.Kind.IMPORT, **others: Any) -> ImportJob:
    """The accepted job."""
    with calling(caller):
        return intake.accept(submission(caller, sent, **others), kind=kind)


def work(*, batches: int | None = None) -> int:
    """Works on up to so many batches, or on all there are; how many it worked on."""
    done = 0
    with acting_as(Actor("system", "worker-1")):
        while (batches is None or done < batches) and process_next(worker="worker-1"):
            done += 1
    return done


def run(caller: Caller, sent: Sequence[Any] | bytes, **others: Any) -> ImportJob:
    """The job after its last batch, with its account checked."""
    job = push(caller, sent, **others)
    work()
    return account_of(job)


def account_of(job: ImportJob) -> ImportJob:
    """Law 3: every record received is counted once, and every place that counts says the same. The job as it stands."""
    job = ImportJob.objects.get(pk=job.pk)
    batches = list(ImportBatch.objects.filter(job=job).order_by("first_index"))
    assert len(batches) == job.batch_count
    assert [batch.first_index for batch in batches] == [
        sum(batch.record_count for batch in batches[:sequence]) for sequence in range(len(batches))
    ]
    assert job.total == sum(batch.record_count for batch in batches)
    assert job.processed == job.created + job.updated + job.unchanged + job.superseded + job.failed

    done = [batch for batch in batches if batch.state == ImportBatch.State.DONE]
    assert all(len(batch.outcomes or b"") == batch.record_count for batch in done)
    counted = Counter(BY_BYTE[byte] for batch in done for byte in bytes(batch.outcomes or b""))
    assert {outcome: counted[outcome] for outcome in Outcome} == {
        outcome: getattr(job, outcome.label) for outcome in Outcome
    }
    dropped = [batch for batch in batches if batch.state == ImportBatch.State.DROPPED]
    assert job.unprocessed == sum(batch.record_count for batch in dropped)
    assert job.batches_ended == len(done) + len(dropped)

    failed = [index for index, outcome in enumerate(outcomes_of(job)) if outcome == "failed"]
    rows = FailedRecord.objects.filter(job=job, state__in=current_states(job)).order_by("index")
    assert [row.index for row in rows] == failed
    of_batch = {index: batch.pk for batch in batches for index in range(batch.first_index, end_of(batch))}
    assert all(row.batch_id == of_batch[row.index] for row in rows)

    described = describe(job, job.created_at)
    assert described["progress"] == {"total": job.total, "processed": job.processed, "failed": job.failed}
    assert sum(counts["processed"] for counts in described["byType"].values()) == job.processed
    assert sum(counts["failed"] for counts in described["byType"].values()) == job.failed
    assert sum(line["count"] for line in described["errorSummary"]) == job.failed

    if job.is_finished:
        assert job.total == job.processed + job.unprocessed
        assert job.batches_ended == job.batch_count
        assert job.finished_at is not None
    else:
        assert job.batches_ended < job.batch_count
        assert job.finished_at is None
    return job


def end_of(batch: ImportBatch) -> int:
    return batch.first_index + batch.record_count


def outcomes_of(job: ImportJob) -> list[str | None]:
    """What became of each record by its index: an outcome's label, unprocessed, or None where nothing yet."""
    labels: list[str | None] = []
    for batch in ImportBatch.objects.filter(job=job).order_by("first_index"):
        if batch.state == ImportBatch.State.DONE:
            labels += [BY_BYTE[byte].label for byte in bytes(batch.outcomes or b"")]
        else:
            labels += ["unprocessed" if batch.state == ImportBatch.State.DROPPED else None] * batch.record_count
    return labels


def stored_by(caller: Caller) -> dict[tuple[str, str], dict[str, Any]]:
    """The customer's records as they lie in the table, opened: {(type, id): record}."""
    opener = keyring(caller.customer.pk).opener("imports_record", "payload")
    found = {}
    for row in Record.objects.filter(customer=caller.customer):
        content = json.loads(opener.open(bytes(row.payload), storing.record_row(row.type, bytes(row.key))))
        found[row.type, content["id"]] = content
    return found


def in_threads(*functions: Callable[[], Any]) -> list[Any]:
    """Each function's value or Refusal, run at the same time, each on a database connection of its own.

    Any other exception is raised here.
    """
    results: list[Any] = [None] * len(functions)
    faults: list[Exception] = []

    def call(place: int, function: Callable[[], Any]) -> None:
        try:
            results[place] = function()
        except Refusal as refusal:
            results[place] = refusal
        except Exception as err:  # noqa: BLE001 - handed to the test
            faults.append(err)
        finally:
            connections.close_all()

    threads = [Thread(target=call, args=item) for item in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return results


@contextmanager
def another_session() -> "Iterator[psycopg.Connection[Any]]":
    """A connection to the test database beside Django's, each statement committed at once."""
    parameters = connection.get_connection_params()
    for django_only in ("cursor_factory", "context", "prepare_threshold", "server_side_binding", "pool"):
        parameters.pop(django_only, None)
    with psycopg.connect(**parameters, autocommit=True) as session:
        yield session


@contextmanager
def before_insert(table: str, statements: str) -> Iterator[None]:
    """A trigger that runs PL/pgSQL `statements` before each insert: faults come from PostgreSQL, not from a mock."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE SEQUENCE test_inserts")
        cursor.execute(
            f"CREATE FUNCTION test_fault() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {statements}; RETURN NEW; END $$"
        )
        cursor.execute(
            f"CREATE TRIGGER test_fault BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION test_fault()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TRIGGER test_fault ON {table}")
            cursor.execute("DROP FUNCTION test_fault")
            cursor.execute("DROP SEQUENCE test_inserts")


@dataclass(frozen=True, slots=True)
class Stuck:
    """Somebody's insert that waits, with its transaction open, until the test lets it go."""

    session: "psycopg.Connection[Any]"

    def wait(self) -> None:
        """Returns when the insert has come to its trigger."""
        deadline = time.monotonic() + 30
        waiting = """
            SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
            WHERE datname = current_database() AND locktype = 'advisory' AND objid = %s AND NOT granted
        """
        while self.session.execute(waiting, [_STUCK]).fetchone() == (0,):
            assert time.monotonic() < deadline, "nobody came to the trigger"

    def release(self) -> None:
        self.session.execute("SELECT pg_advisory_unlock_all()")

    @contextmanager
    def released_after(self) -> Iterator[None]:
        """A block that runs while the insert waits."""
        self.wait()
        try:
            yield
        finally:
            self.release()


_STUCK = 4711


@contextmanager
def stuck_before_insert(table: str) -> Iterator[Stuck]:
    """Whoever inserts into the table waits there: the product has no hook, PostgreSQL holds it."""
    with before_insert(table, f"PERFORM pg_advisory_xact_lock({_STUCK})"), another_session() as session:
        session.execute("SELECT pg_advisory_lock(%s)", [_STUCK])
        yield Stuck(session)
