"""An erased customer's data opens nowhere: not here, not in a dump made after it; nobody else notices."""

import subprocess
from collections.abc import Iterator
from contextlib import closing
from io import StringIO
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError
from django.utils import timezone

from audit.context import Actor, acting_as
from audit.models import AuditEvent
from config.embedded.binaries import postgres_directory
from customers import directory, enrolment, master_keys
from customers import keyring as rings
from customers.cipher import DecryptionError, Opener
from customers.erasure import erase as destroy_keys
from customers.keyring import ErasedError, keyring
from customers.models import Customer, DataKey, HmacKey
from customers.xaes import XaesKey
from imports import erasure, results, status
from imports.api.problems import problem_of
from imports.lookup import look_up
from imports.models import FailedRecord, ImportBatch, ImportJob, Record, RecordVersion
from imports.storing import record_row
from tests.imports.pipeline import Caller, account_of, bad_record, push, record, records, run, stored_by, work
from tests.live import test_database_url as database_url

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def acting() -> Iterator[None]:
    rings.forget()
    directory.forget()
    with acting_as(Actor("command", "tests")):
        yield
    rings.forget()


def erase(caller: Caller) -> bool:
    return erasure.erase(caller.customer, now=timezone.now())


def test_nothing_of_the_customer_opens_and_nobody_else_notices(owner: Caller, stranger: Caller) -> None:
    job = run(owner, [*records(3), bad_record()])
    run(stranger, records(3))
    assert erase(owner)
    assert not erase(owner)
    for question in (
        lambda: look_up(customer_id=owner.customer.pk, record_type="customer", external_id="A-1"),
        lambda: status.describe(ImportJob.objects.get(pk=job.pk), timezone.now()),
        lambda: list(results.lines(job, results.batches_of(job, "succeeded")[0], "succeeded")),
        lambda: push(owner, records(1)),
        lambda: stored_by(owner),
    ):
        with pytest.raises(ErasedError) as caught:
            question()
        problem = problem_of(caught.value)
        assert problem is not None
        assert (problem.status, problem.code) == (410, "customer_erased")
    key = directory.find_key(owner.key.key_id)
    assert key is None or key.refusal(timezone.now()) is not None
    assert len(stored_by(stranger)) == 3
    assert directory.find_key(stranger.key.key_id) is not None


def test_it_is_recorded_once_with_counts_alone(owner: Caller) -> None:
    erase(owner)
    erase(owner)
    event = AuditEvent.objects.get(action="customer.erased")
    assert (event.target, event.detail) == ("customer:owner", {"data_keys": 3, "hmac_keys": 1})
    assert set(DataKey.objects.values_list("state", "wrapped")) == {("destroyed", None)}
    assert HmacKey.objects.filter(revoked_at__isnull=True).count() == 0


def test_an_erased_customer_stays_so(owner: Caller) -> None:
    erase(owner)
    customer = Customer.objects.get()
    customer.is_active = True
    with pytest.raises(IntegrityError, match="customer_erased_stays_inactive"):
        customer.save()
    with pytest.raises(enrolment.EnrolmentError, match="erased"):
        enrolment.issue_key(Customer.objects.get())


def test_its_running_imports_end_and_every_record_is_accounted_for(owner: Caller, small_batches: int) -> None:
    job = push(owner, records(30))
    work(batches=1)
    erase(owner)
    work()
    ended = account_of(job)
    assert (ended.status, ended.status_reason) == ("failed", erasure.REASON)
    assert (ended.processed, ended.unprocessed) == (10, 20)


def test_a_worker_whose_ring_is_older_stores_nothing_more(owner: Caller, small_batches: int) -> None:
    push(owner, records(20))
    asleep = keyring(owner.customer.pk)
    destroy_keys(owner.customer, now=timezone.now())
    rings._cache[owner.customer.pk] = (float("inf"), asleep)
    work(batches=1)
    assert Record.objects.count() == 0
    erasure.clear_away(timezone.now())
    assert ImportJob.objects.get().status == "failed"


def test_its_ciphertext_is_cleared_away_in_portions(
    owner: Caller, stranger: Caller, small_batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(owner, [*records(25), bad_record("x"), bad_record("y")])
    run(owner, [record("A-0", attributes={})])
    run(stranger, [*records(3), bad_record()])
    monkeypatch.setattr(erasure, "_AT_ONCE", 10)
    assert erasure.clear_away(timezone.now()) == 0
    erase(owner)
    portions = [erasure.clear_away(timezone.now()) for _ in range(4)]
    assert portions == [10 + 1 + 2 + 4, 10, 5, 0]
    assert RecordVersion.objects.count() == 0
    assert Record.objects.filter(customer=owner.customer).count() == 0
    assert FailedRecord.objects.filter(customer=owner.customer).count() == 0
    assert not ImportBatch.objects.filter(customer=owner.customer, payload__isnull=False).exists()
    assert len(stored_by(stranger)) == 3
    assert FailedRecord.objects.filter(customer=stranger.customer).count() == 1


def test_the_command_asks_first(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    run(owner, records(1))
    monkeypatch.setattr("builtins.input", lambda _: "Owner")
    with pytest.raises(CommandError, match="Nothing was erased"):
        call_command("erase_customer", "owner", stdout=StringIO())
    assert len(stored_by(owner)) == 1
    monkeypatch.setattr("builtins.input", lambda _: "owner")
    out = StringIO()
    call_command("erase_customer", "owner", stdout=out)
    assert "Owner is erased" in out.getvalue()
    call_command("erase_customer", "owner", "--yes", stdout=out)
    assert "nothing changed" in out.getvalue()
    with pytest.raises(CommandError, match="no customer"):
        call_command("erase_customer", "nobody", "--yes")


def test_an_import_in_parts_that_stands_open_ends_too(owner: Caller) -> None:
    job = push(owner, records(3))
    ImportJob.objects.filter(pk=job.pk).update(open_until=timezone.now())
    erase(owner)
    ended = ImportJob.objects.get(pk=job.pk)
    assert (ended.status, ended.unprocessed, ended.open_until) == ("failed", 3, None)


@pytest.fixture
def restored(owner: Caller, stranger: Caller) -> Iterator["psycopg.Connection[Any]"]:
    """A dump made after the owner was erased, in a database of its own."""
    run(owner, records(5))
    run(stranger, records(5))
    erase(owner)
    parts = urlsplit(database_url())
    copy = f"{parts.path.lstrip('/')}_restored"
    url = urlunsplit(parts._replace(path=f"/{copy}"))
    with closing(psycopg.connect(urlunsplit(parts._replace(path="/postgres")), autocommit=True)) as admin:
        admin.execute(f'DROP DATABASE IF EXISTS "{copy}"')
        admin.execute(f'CREATE DATABASE "{copy}" TEMPLATE template0')
        try:
            dump = subprocess.run(
                [postgres_directory() / "pg_dump", "--no-owner", database_url()], check=True, capture_output=True
            ).stdout
            subprocess.run([postgres_directory() / "psql", "--quiet", url], input=dump, check=True, capture_output=True)
            with psycopg.connect(url) as connection:
                yield connection
        finally:
            admin.execute(f'DROP DATABASE IF EXISTS "{copy}"')


def test_a_dump_made_after_it_opens_nothing_of_it(
    restored: "psycopg.Connection[Any]", owner: Caller, stranger: Caller
) -> None:
    """With every data key that the dump holds and the master keys at hand."""
    keys = {
        number: XaesKey(
            master_keys.current().unwrap(
                master_keys.WrappedKey(wrapped, kek_id), customer_uuid=customer_uuid, purpose=purpose, version=version
            )
        )
        for number, wrapped, kek_id, customer_uuid, purpose, version in restored.execute(
            "SELECT k.id, wrapped, kek_id, c.uuid, purpose, version FROM customers_datakey k "
            "JOIN customers_customer c ON c.id = k.customer_id WHERE wrapped IS NOT NULL"
        )
    }

    def readable(customer: Customer, uuid: UUID) -> tuple[int, int]:
        def find(number: int) -> XaesKey:
            try:
                return keys[number]
            except KeyError:
                raise DecryptionError("unknown_key", "Not in the dump.") from None

        opener = Opener(find, customer_uuid=uuid, table="imports_record", column="payload")
        rows = restored.execute(
            "SELECT type, key, payload FROM imports_record WHERE customer_id = %s", [customer.pk]
        ).fetchall()
        opened = 0
        for record_type, key, payload in rows:
            try:
                opened += bool(opener.open(payload, record_row(record_type, key)))
            except DecryptionError:
                continue
        return len(rows), opened

    assert readable(owner.customer, owner.customer.uuid) == (5, 0)
    assert readable(stranger.customer, stranger.customer.uuid) == (5, 5)
