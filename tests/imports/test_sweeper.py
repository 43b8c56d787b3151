from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models.functions import Now
from django.test import override_settings
from django.utils import timezone

from audit.context import Actor, acting_as
from customers.models import HmacKey, KeyWarning, SeenNonce
from imports import doorbell, sweeper
from imports.claiming import claim
from imports.ending import cancel
from imports.models import ImportBatch
from tests.imports.pipeline import Caller, account_of, calling, in_threads, push, records, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("small_batches", "empty_queue")]


def sweep() -> int:
    with acting_as(Actor("system", "sweeper")):
        return sweeper.sweep()


def test_work_is_rung_for_again_after_valkey_lost_everything(owner: Caller, stranger: Caller) -> None:
    push(owner, records(15))
    push(stranger, records(5))
    doorbell.queue().connection.flushdb()
    assert doorbell.waiting() == 0
    assert sweep() == 2
    assert doorbell.waiting() == 3


def test_nobody_is_rung_for_while_messages_wait(owner: Caller) -> None:
    push(owner, records(15))
    with override_settings(WORKERS=2):
        assert doorbell.waiting() == 2
        assert sweep() == 0


def test_work_that_somebody_does_is_left_to_them(owner: Caller) -> None:
    push(owner, records(5))
    doorbell.queue().connection.flushdb()
    with transaction.atomic():
        assert claim() is not None
        assert in_threads(sweep) == [0]
    assert sweep() == 1


def test_keys_that_will_end_are_announced(owner: Caller) -> None:
    HmacKey.objects.update(not_before=Now() - timedelta(days=84), expires_at=Now() + timedelta(days=6))
    with acting_as(Actor("system", "sweeper")):
        sweeper.tidy()
        sweeper.tidy()
    assert list(KeyWarning.objects.values_list("days", flat=True)) == [7]


def test_ended_and_cancelled_jobs_are_not_rung_for(owner: Caller) -> None:
    push(owner, records(5))
    work()
    with calling(owner):
        cancel(push(owner, records(5)).pk)
    doorbell.queue().connection.flushdb()
    assert sweep() == 0


def test_a_sweep_without_valkey_does_the_rest(owner: Caller, dead_valkey: None) -> None:
    job = push(owner, records(15))
    with transaction.atomic():
        assert claim() is not None
        in_threads(lambda: cancel_as(owner, job.pk))
    assert account_of(job).status == "pending"
    assert sweep() == 0
    assert (account_of(job).status, account_of(job).unprocessed) == ("failed", 15)


def cancel_as(caller: Caller, job_id: int) -> None:
    with calling(caller):
        cancel(job_id)


def test_a_cancelled_job_whose_worker_died_is_ended(owner: Caller) -> None:
    job = push(owner, records(15))
    with transaction.atomic():  # the worker: it holds a batch until its connection is gone
        assert claim() is not None
        in_threads(lambda: cancel_as(owner, job.pk))
        half_way = account_of(job)
        assert (half_way.status, half_way.unprocessed) == ("pending", 5)
        in_threads(sweep, sweep)
        assert account_of(job).revision == half_way.revision  # nothing to tell anyone
    in_threads(sweep, sweep)
    ended = account_of(job)
    assert (ended.status, ended.status_reason, ended.unprocessed) == ("failed", "cancelled", 15)


def test_tidying_forgets_nonces_that_are_too_old_to_be_replayed(owner: Caller) -> None:
    now = timezone.now()
    for name, expires_at in (("old", now - timedelta(seconds=1)), ("new", now + timedelta(minutes=5))):
        SeenNonce.objects.create(**nonce(owner, name, expires_at))
    with acting_as(Actor("system", "sweeper")):
        sweeper.tidy()
    assert SeenNonce.objects.count() == 1


def nonce(caller: Caller, name: str, expires_at: object) -> dict[str, object]:
    return {"key_id": caller.key.key_id, "nonce": name, "expires_at": expires_at}


def test_a_probe_for_work_left_alone_holds_nothing(owner: Caller) -> None:
    job = push(owner, records(5))
    assert sweeper._is_left_alone(job.pk)
    assert work() == 1
    assert not sweeper._is_left_alone(job.pk)
    assert ImportBatch.objects.get().state == ImportBatch.State.DONE
