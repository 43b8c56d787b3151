"""Data keys rotate while everything goes on: each value opens at every moment, and the old key ends up unused."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from threading import Event, Thread
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection, connections, models, transaction

from audit.clock import database_now
from audit.context import Actor, acting_as
from audit.models import AuditEvent
from customers import keyring as rings
from customers import rotation
from customers.cipher import data_key_id_of
from customers.fields import EncryptedTextField
from customers.keyring import KeyGoneError, hold, keyring
from customers.models import Customer, DataKey, HmacKey
from imports import intake, key_rotation, mending, results, status, undoing
from imports.key_rotation import Rotator, work_off
from imports.models import FailedRecord, ImportBatch, ImportJob, Record, RecordVersion
from imports.reencryption import ENCRYPTED, PLAIN, is_empty, reencrypt, remaining
from imports.undoing import undo_next
from tests.imports.pipeline import (
    Caller,
    another_session,
    bad_record,
    in_threads,
    push,
    record,
    records,
    run,
    stored_by,
    work,
)
from tests.imports.undos import ask, undo_all

pytestmark = pytest.mark.django_db(transaction=True)

NOW = database_now


@pytest.fixture(autouse=True)
def acting() -> Iterator[None]:
    rings.forget()
    with acting_as(Actor("command", "tests")):
        yield
    rings.forget()


def old_keys(caller: Caller) -> list[DataKey]:
    return list(DataKey.objects.retired().filter(customer=caller.customer))


def begin(caller: Caller) -> list[DataKey]:
    assert rotation.begin(caller.customer, now=NOW())
    return old_keys(caller)


def key_ids(caller: Caller) -> set[int]:
    """The data keys of every ciphertext of the customer, by their headers."""
    blobs = [
        *Record.objects.filter(customer=caller.customer).values_list("payload", flat=True),
        *RecordVersion.objects.filter(customer=caller.customer).values_list("payload", flat=True),
        *ImportBatch.objects.filter(customer=caller.customer).values_list("payload", flat=True),
        *FailedRecord.objects.filter(customer=caller.customer).values_list("payload", flat=True),
        *FailedRecord.objects.filter(customer=caller.customer).values_list("problems", flat=True),
        *FailedRecord.objects.filter(customer=caller.customer).values_list("edited", flat=True),
        *ImportJob.objects.filter(customer=caller.customer).values_list("metadata", flat=True),
    ]
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM customers_hmackey WHERE customer_id = %s", [caller.customer.pk])
        blobs += [row[0] for row in cursor.fetchall()]
    return {data_key_id_of(bytes(blob)) for blob in blobs if blob is not None}


def test_every_binary_column_is_registered_or_declared_plain() -> None:
    """A new encrypted column that nobody registers would be lost with the first key that is destroyed."""
    ours = {"audit", "config", "connectors", "customers", "imports", "monitoring"}
    found = {
        (model._meta.db_table, str(field.column))
        for model in apps.get_models()
        if model._meta.app_label in ours
        for field in model._meta.local_fields
        if isinstance(field, models.BinaryField | EncryptedTextField) and model._meta.app_label != "audit"
    }
    registered = {(column.table, column.column) for column in ENCRYPTED}
    assert registered & PLAIN == set()
    assert found == registered | PLAIN


@pytest.mark.parametrize("column", ENCRYPTED, ids=lambda column: f"{column.table}.{column.column}")
def test_every_registered_column_is_moved(owner: Caller, column: Any) -> None:
    run(owner, [record("A-0", attributes={"name": "replaced"})])
    run(owner, [*records(3), bad_record()])
    failure = FailedRecord.objects.get()
    mending.edit(failure, json.dumps(record("bad")).encode(), attempt=failure.attempts)
    data_key = next(key for key in begin(owner) if key.purpose == column.purpose)
    before = remaining(data_key)
    list(reencrypt(data_key))
    assert (before > 0, remaining(data_key)) == (True, 0)
    assert data_key.pk not in key_ids(owner)


def test_all_that_was_stored_reads_as_before(owner: Caller, stranger: Caller, small_batches: int) -> None:
    job = run(owner, [*records(25), bad_record(), *records(5, "B")])
    run(stranger, records(3))
    waiting = push(owner, records(15, "C"))
    strangers = key_ids(stranger)
    before = stored_by(owner), status.describe(job, job.created_at)["errors"], lines_of(job)
    secret = HmacKey.objects.get(pk=owner.key.key.pk).secret.reveal()

    old = {key.pk for key in begin(owner)}
    assert key_ids(owner) == old
    assert sum(work_off(owner.customer)) == 30 + 6 + 2 + 2 + 1
    assert not key_ids(owner) & old
    assert set(Record.objects.filter(customer=owner.customer).values_list("data_key_id", flat=True)) <= key_ids(owner)

    rings.forget()
    assert (stored_by(owner), status.describe(job, job.created_at)["errors"], lines_of(job)) == before
    assert HmacKey.objects.get(pk=owner.key.key.pk).secret.reveal() == secret
    work()
    assert ImportJob.objects.get(pk=waiting.pk).created == 15
    assert key_ids(stranger) == strangers


def test_what_was_replaced_under_an_old_key_can_still_be_put_back(owner: Caller, small_batches: int) -> None:
    """Versions move back as they are, before, between and after the passes of a rotation."""
    run(owner, records(30))
    job = run(owner, [record(f"A-{number}", attributes={"name": "new"}) for number in range(30)])
    ask(owner, job)
    begin(owner)
    undo_next()
    list(work_off(owner.customer))
    undo_next()
    begin(owner)
    undo_all()
    list(work_off(owner.customer))
    rings.forget()
    assert all(content["attributes"]["name"].startswith("name of") for content in stored_by(owner).values())
    active = set(DataKey.objects.filter(customer=owner.customer, state="active").values_list("pk", flat=True))
    assert key_ids(owner) <= active


def test_a_version_that_moves_back_holds_its_key(owner: Caller) -> None:
    """Found under the old key in neither table, between two looks, it would be lost with the key."""
    run(owner, records(1))
    job = run(owner, [record("A-0", attributes={"name": "new"})])
    old = begin(owner)
    record_key = next(key for key in old if key.purpose == "record")
    ask(owner, job)
    destroyed = []

    def destroy_meanwhile(*_: Any) -> None:
        def never_found(_: DataKey) -> bool:
            return True

        def destroy() -> None:
            with acting_as(Actor("system", "tests")):
                DataKey.objects.filter(pk=record_key.pk).update(emptied_at=NOW())
                rested = NOW() + timedelta(seconds=rotation.SETTLE_SECONDS)
                destroyed.append(rotation.destroy(record_key, now=rested, is_empty=never_found))

        in_threads(destroy)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(undoing, "_count", destroy_meanwhile)
        assert undo_next()
    assert destroyed == [False]


def lines_of(job: ImportJob) -> list[bytes]:
    return [
        results.as_ndjson(results.lines(job, batch, selection))
        for selection in ("succeeded", "failed")
        for batch in results.batches_of(job, selection)
    ]


def test_new_writes_use_the_new_key_at_once(owner: Caller) -> None:
    run(owner, records(3))
    old = {key.pk for key in begin(owner)}
    run(owner, records(3, "B"))
    assert not old & set(
        Record.objects.filter(customer=owner.customer, changed_job__gt=1)
        .exclude(data_key_id__in=old)
        .values_list("data_key_id", flat=True)
    )
    assert DataKey.objects.filter(customer=owner.customer, purpose="index").get().version == 1


def test_a_rotation_is_recorded_and_begins_once_when_due(owner: Caller, stranger: Caller) -> None:
    DataKey.objects.filter(customer=owner.customer).update(created_at=NOW() - timedelta(days=90))
    assert [key_rotation.begin_due(), key_rotation.begin_due()] == [1, 0]
    event = AuditEvent.objects.get(action="data_key.rotated")
    assert event.detail == {"record_version": 2, "secret_version": 2}
    assert event.customer_id == owner.customer.pk


def test_a_ring_loaded_this_very_moment_finds_a_newer_key(owner: Caller) -> None:
    run(owner, records(1))
    fresh = keyring(owner.customer.pk)
    begin(owner)
    list(work_off(owner.customer))
    row = Record.objects.get()
    opener = fresh.opener("imports_record", "payload")
    assert opener.open(bytes(row.payload), row.type.encode() + b"\0" + bytes(row.key))


def test_an_old_key_is_destroyed_only_after_it_rested_empty(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    run(owner, records(3))
    old = begin(owner)
    list(work_off(owner.customer))
    assert [key.pk for key in old_keys(owner)] == [key.pk for key in old]
    rested = NOW() + timedelta(seconds=rotation.SETTLE_SECONDS)
    assert not rotation.destroy(old[0], now=rested - timedelta(seconds=60), is_empty=is_empty)
    assert all(rotation.destroy(key, now=rested, is_empty=is_empty) for key in old)
    assert set(DataKey.objects.filter(pk__in=[key.pk for key in old]).values_list("state", "wrapped")) == {
        ("destroyed", None)
    }
    assert AuditEvent.objects.filter(action="data_key.destroyed").count() == 2
    assert len(stored_by(owner)) == 3


def test_a_late_writer_with_an_old_ring_keeps_its_key_alive(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process slept through the rotation; what it writes is found, and the key's rest begins again."""
    run(owner, records(3))
    asleep = keyring(owner.customer.pk)
    record_key = next(key for key in begin(owner) if key.purpose == "record")
    list(work_off(owner.customer))
    rested = NOW() + timedelta(seconds=rotation.SETTLE_SECONDS)
    with monkeypatch.context() as patch:
        patch.setattr(intake, "keyring", lambda _: asleep)
        job = push(owner, records(2, "late"))
    assert record_key.pk in key_ids(owner)
    work()
    assert not rotation.destroy(record_key, now=rested, is_empty=is_empty)
    record_key.refresh_from_db()
    assert (record_key.state, record_key.emptied_at) == ("decrypt_only", None)
    assert ImportJob.objects.get(pk=job.pk).created == 2
    list(work_off(owner.customer))
    assert len(stored_by(owner)) == 5


def test_a_writer_after_the_destruction_is_refused_and_seals_anew(
    owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(owner, records(3))
    asleep = keyring(owner.customer.pk)
    old = begin(owner)
    list(work_off(owner.customer))
    for key in old:
        assert rotation.destroy(key, now=NOW() + timedelta(seconds=rotation.SETTLE_SECONDS), is_empty=is_empty)
    with pytest.raises(KeyGoneError), transaction.atomic():
        hold(owner.customer.pk, [asleep.sealer("imports_record", "payload").data_key_id])
    rings._cache[owner.customer.pk] = (float("inf"), asleep)
    with pytest.raises(KeyGoneError):
        push(owner, records(2, "late"))
    job = push(owner, records(2, "late"))
    work()
    assert ImportJob.objects.get(pk=job.pk).created == 2
    assert len(stored_by(owner)) == 5


def test_a_key_that_a_transaction_holds_is_not_destroyed(owner: Caller) -> None:
    old = begin(owner)
    list(work_off(owner.customer))
    rested = NOW() + timedelta(seconds=rotation.SETTLE_SECONDS)
    with another_session() as session, session.transaction():
        session.execute(rings._HOLD, [[key.pk for key in old]])
        assert not any(rotation.destroy(key, now=rested, is_empty=is_empty) for key in old)
    assert all(rotation.destroy(key, now=rested, is_empty=is_empty) for key in old)


def test_rows_that_somebody_holds_are_left_and_taken_later(owner: Caller) -> None:
    run(owner, records(5))
    record_key = next(key for key in begin(owner) if key.purpose == "record")
    with another_session() as session, session.transaction():
        session.execute("SELECT id FROM imports_record ORDER BY id LIMIT 2 FOR NO KEY UPDATE")
        list(reencrypt(record_key))
        assert remaining(record_key) == 2
    list(reencrypt(record_key))
    assert remaining(record_key) == 0


def test_a_damaged_value_stops_nothing_and_keeps_its_key(owner: Caller, caplog: pytest.LogCaptureFixture) -> None:
    run(owner, records(3))
    damaged = Record.objects.order_by("pk").first()
    assert damaged is not None
    blob = bytearray(damaged.payload)
    blob[-1] ^= 1
    Record.objects.filter(pk=damaged.pk).update(payload=bytes(blob))
    record_key = next(key for key in begin(owner) if key.purpose == "record")
    list(key_rotation.settle(record_key))
    assert remaining(record_key) == 1
    assert f"table=imports_record column=payload id={damaged.pk} cause=not_authentic" in caplog.text
    record_key.refresh_from_db()
    assert record_key.emptied_at is None


def test_a_sweeper_works_it_off_in_portions(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    run(owner, records(30))
    monkeypatch.setattr("imports.reencryption.CHUNK_ROWS", 10)
    monkeypatch.setattr(key_rotation, "REST_SECONDS", 0)
    monkeypatch.setattr(rotation, "SETTLE_SECONDS", 0)
    begin(owner)
    rotator = Rotator()
    portions = [rotator.work(seconds=0) for _ in range(20)]
    assert max(portions) <= 10
    assert sum(portions) == 30 + 1 + 1 + 1
    assert old_keys(owner) == []
    assert len(stored_by(owner)) == 30


@contextmanager
def in_background(function: Any) -> Iterator[list[BaseException]]:
    """`function` again and again on a connection of its own until the block ends; what it raised."""
    over, raised = Event(), []

    def loop() -> None:
        try:
            with acting_as(Actor("system", "tests")):
                while not over.is_set():
                    function()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            raised.append(error)
        finally:
            connections.close_all()

    thread = Thread(target=loop)
    thread.start()
    try:
        yield raised
    finally:
        over.set()
        thread.join()


def test_imports_readers_and_two_rotators_get_along(
    owner: Caller, small_batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same records are written, re-encrypted twice over and read at the same time: no deadlock, no refusal."""
    monkeypatch.setattr("imports.reencryption.CHUNK_ROWS", 7)
    run(owner, records(60))

    def read() -> None:
        assert len(stored_by(owner)) == 60

    def turn() -> None:
        list(work_off(owner.customer))

    with in_background(read) as reader, in_background(turn) as first, in_background(turn) as second:
        for number in range(4):
            begin(owner)
            run(owner, [record(f"A-{place}", attributes={"round": number}) for place in range(60)])
    assert (reader, first, second) == ([], [], [])
    list(work_off(owner.customer))
    assert all(content["attributes"]["round"] == 3 for content in stored_by(owner).values())
    active = set(DataKey.objects.filter(customer=owner.customer, state="active").values_list("pk", flat=True))
    assert key_ids(owner) <= active
    assert not AuditEvent.objects.filter(action="import.failed").exists()
    assert json.dumps(sorted(ImportJob.objects.values_list("updated", flat=True))) == "[0, 60, 60, 60, 60]"


def test_customers_without_keys_are_not_rotated(owner: Caller) -> None:
    DataKey.objects.filter(customer=owner.customer).update(state="destroyed", wrapped=None)
    assert not rotation.begin(Customer.objects.get(pk=owner.customer.pk), now=NOW())


def test_the_command_ends_where_a_value_does_not_open(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    run(owner, records(2))
    damaged = Record.objects.order_by("pk").first()
    assert damaged is not None
    Record.objects.filter(pk=damaged.pk).update(payload=bytes(damaged.payload)[:-1] + b"?")
    monkeypatch.setattr(key_rotation, "PATIENCE_SECONDS", 0.1)
    with pytest.raises(CommandError, match="1 values are left"):
        call_command("rotate_data_keys", "--customer", owner.customer.slug, stdout=StringIO())


def test_the_command_rotates_one_customer_or_all_that_are_due(owner: Caller, stranger: Caller) -> None:
    run(owner, records(2))
    run(stranger, records(2))
    out = StringIO()
    call_command("rotate_data_keys", "--customer", "owner", stdout=out)
    assert "values re-encrypted" in out.getvalue()
    assert not DataKey.objects.retired().filter(customer=stranger.customer).exists()
    DataKey.objects.filter(customer=stranger.customer).update(created_at=NOW() - timedelta(days=91))
    call_command("rotate_data_keys", "--due", stdout=out)
    assert "1 customers have new data keys" in out.getvalue()
    assert key_ids(stranger) <= set(DataKey.objects.filter(state="active").values_list("pk", flat=True))
    with pytest.raises(CommandError, match="no customer"):
        call_command("rotate_data_keys", "--customer", "nobody")
