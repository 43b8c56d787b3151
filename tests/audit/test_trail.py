import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction
from pytest_django import DjangoCaptureOnCommitCallbacks

from audit.chain import GENESIS
from audit.context import Actor, acting_as
from audit.detail import UnsafeEventError
from audit.models import AuditEvent, AuditHead
from audit.trail import BrokenChainError, audited, record, verify_chain


def actions() -> list[str]:
    return list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))


@pytest.mark.django_db
def test_an_event_says_who_did_what_from_where_in_which_request(acting: None) -> None:
    with audited():
        record("import.accepted", target="import:1", customer_id=7, record_count=998, detail={"batches": 1})
    event = AuditEvent.objects.get()
    assert (event.sequence, event.actor_kind, event.actor_id) == (1, "key", "bk_test_0001")
    assert (event.action, event.target, event.customer_id, event.record_count) == (
        "import.accepted",
        "import:1",
        7,
        998,
    )
    assert (event.source_ip, event.request_id, event.detail) == ("203.0.113.7", "req-1", {"batches": 1})
    assert event.previous_hash == GENESIS
    assert AuditHead.objects.get().hash == event.hash


@pytest.mark.django_db
def test_events_are_written_at_the_end_of_the_outermost_block_in_order(acting: None) -> None:
    with audited():
        record("first.recorded", target="a:1")
        with audited():
            record("second.recorded", target="a:1")
        assert actions() == []
        record("third.recorded", target="a:1")
    assert actions() == ["first.recorded", "second.recorded", "third.recorded"]
    with audited():
        record("fourth.recorded", target="a:1")
    assert len(actions()) == 4
    assert verify_chain().first_bad is None


@pytest.mark.django_db
def test_the_head_is_locked_by_the_last_statements_only(acting: None, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(2 + 2 + 2) as captured, audited():
        record("first.recorded", target="a:1")
        AuditEvent.objects.count()
        record("second.recorded", target="a:1")
        AuditEvent.objects.count()
    statements = [query["sql"].split()[0] for query in captured.captured_queries]
    assert statements == ["SAVEPOINT", "SELECT", "SELECT", "SELECT", "INSERT", "RELEASE"]
    assert captured.captured_queries[3]["sql"].endswith("FOR NO KEY UPDATE")


@pytest.mark.django_db
def test_a_block_without_events_asks_nothing_of_the_trail(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(2), audited():
        pass


@pytest.mark.django_db
def test_a_rolled_back_change_leaves_no_event(acting: None) -> None:
    with pytest.raises(ZeroDivisionError), audited():
        record("first.recorded", target="a:1")
        raise ZeroDivisionError
    with audited():
        pass
    assert actions() == []


@pytest.mark.django_db
def test_a_rehearsal_that_rolls_back_on_purpose_leaves_no_event(acting: None) -> None:
    with audited():
        record("first.recorded", target="a:1")
        transaction.set_rollback(True)
    assert actions() == []


@pytest.mark.django_db
@pytest.mark.parametrize("block", [audited, transaction.atomic])
def test_events_of_a_savepoint_that_rolls_back_vanish_with_it(acting: None, block: Any) -> None:
    with audited():
        record("first.recorded", target="a:1")
        with pytest.raises(ZeroDivisionError), block():
            record("second.recorded", target="a:1")
            with block():
                record("third.recorded", target="a:1")
            raise ZeroDivisionError
        with block():
            record("fourth.recorded", target="a:1")
    assert actions() == ["first.recorded", "fourth.recorded"]
    assert verify_chain().first_bad is None


@pytest.mark.django_db
def test_recording_runs_no_callback_on_commit(
    acting: None, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    rung: list[int] = []
    with django_capture_on_commit_callbacks(execute=True) as callbacks, audited():
        record("first.recorded", target="a:1")
        transaction.on_commit(lambda: rung.append(1))
    assert (len(callbacks), rung) == (1, [1])


@pytest.mark.django_db
def test_record_outside_audited_says_what_to_do(acting: None) -> None:
    with pytest.raises(RuntimeError, match="with audited"):
        record("first.recorded", target="a:1")
    with transaction.atomic(), pytest.raises(RuntimeError, match="with audited"):
        record("first.recorded", target="a:1")


@pytest.mark.django_db
def test_record_without_an_actor_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="acting_as"), audited():
        record("first.recorded", target="a:1")


@pytest.mark.django_db
def test_an_unsafe_event_undoes_the_change(acting: None) -> None:
    with pytest.raises(UnsafeEventError), audited():
        record("first.recorded", target="a:1")
        record("second.recorded", target="a:1", detail={"name": "Jane Doe"})
    assert actions() == []


@pytest.mark.django_db(transaction=True)
def test_audited_inside_a_plain_transaction_is_refused(acting: None) -> None:
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic(), audited():
        pass


@pytest.mark.django_db
def test_nothing_is_recorded_while_the_head_is_missing(acting: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_audithead DISABLE TRIGGER USER")
        cursor.execute("DELETE FROM audit_audithead")
        cursor.execute("ALTER TABLE audit_audithead ENABLE TRIGGER USER")
    with pytest.raises(BrokenChainError, match="head row"), audited():
        record("first.recorded", target="a:1")
    assert actions() == []


@pytest.mark.django_db(transaction=True)
def test_async_code_records_through_the_thread_its_transaction_runs_in() -> None:
    def change(name: str) -> None:
        try:
            with audited():
                record("first.recorded", target=f"a:{name}")
        finally:
            connection.close()

    async def request(key: str) -> None:
        with acting_as(Actor("key", key), request_id=key):
            await sync_to_async(change)(key)
            with pytest.raises(RuntimeError, match="with audited"):
                record("second.recorded", target="a:1")

    async def both() -> None:
        await asyncio.gather(*(request(f"key-{number}") for number in range(4)))

    asyncio.run(both())
    events = AuditEvent.objects.values_list("actor_id", "request_id", "target")
    assert sorted(events) == [(f"key-{n}", f"key-{n}", f"a:key-{n}") for n in range(4)]
