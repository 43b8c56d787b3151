"""A superuser can switch the triggers off. What is done then is found, at the right event."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from audit.chain import GENESIS, Entry, link
from audit.models import AuditEvent
from audit.trail import Checkpoint, audited, record, verify_chain

pytestmark = pytest.mark.django_db

HASH_OF = "SELECT hash FROM audit_auditevent WHERE sequence = {}"


@pytest.fixture
def events(acting: None) -> None:
    """Twenty events, two to a transaction."""
    for number in range(10):
        with audited():
            record("import.accepted", target=f"import:{number}", customer_id=7, record_count=998)
            record("import.completed", target=f"import:{number}", detail={"batches": number, "dry_run": False})


def as_superuser(*statements: str) -> None:
    with connection.cursor() as cursor:
        for table in ("audit_auditevent", "audit_audithead"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for statement in statements:
            cursor.execute(statement)
        for table in ("audit_auditevent", "audit_audithead"):
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def verify(*options: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("verify_audit", *options, stdout=out, no_color=True)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


@pytest.mark.usefixtures("events")
def test_an_honest_trail_is_unbroken() -> None:
    found = verify_chain()
    assert (found.count, found.first_bad, found.reason) == (20, None, "")
    assert found.last == Checkpoint(20, bytes(AuditEvent.objects.get(sequence=20).hash))


def test_an_empty_trail_is_unbroken() -> None:
    assert verify_chain().last == Checkpoint(0, GENESIS)
    assert verify()[0] == 0


@pytest.mark.parametrize(
    "edit",
    [
        "record_count = 997",
        "record_count = null",
        "at = at + interval '1 microsecond'",
        "at = 'infinity'",
        "at = '20000-01-01'",
        "actor_id = 'somebody'",
        "actor_kind = 'staff'",
        "action = 'import.cancelled'",
        "target = 'import:99'",
        "customer_id = 8",
        "source_ip = '203.0.113.8'",
        "source_ip = '203.0.113.7/24'",
        "source_ip = null",
        "request_id = ''",
        "detail = '{\"batches\": 1}'",
        "detail = 'null'",
        "detail = '[1.0]'",
        "hash = previous_hash",
        "previous_hash = hash",
    ],
)
@pytest.mark.usefixtures("events")
def test_an_edit_by_a_superuser_is_found_at_its_event(edit: str) -> None:
    as_superuser(f"UPDATE audit_auditevent SET {edit} WHERE sequence = 7")
    found = verify_chain()
    assert (found.count, found.first_bad) == (6, 7)
    status, text = verify()
    assert (status, "event 7." in text, "edited" in text) == (1, True, True)


@pytest.mark.usefixtures("events")
def test_an_edit_with_its_hash_made_anew_is_found_at_the_next_event() -> None:
    event = AuditEvent.objects.get(sequence=7)
    content = {name: getattr(event, name) for name in Entry.__slots__} | {"record_count": 997}
    forged = link(Entry(**content), sequence=7, previous_hash=bytes(event.previous_hash))
    as_superuser(f"UPDATE audit_auditevent SET record_count = 997, hash = '\\x{forged.hex()}' WHERE sequence = 7")
    found = verify_chain()
    assert (found.count, found.first_bad) == (7, 8)
    assert "does not continue" in found.reason


@pytest.mark.parametrize(
    ("deletion", "first_bad", "reason"),
    [
        ("DELETE FROM audit_auditevent WHERE sequence = 7", 7, "missing"),
        ("DELETE FROM audit_auditevent WHERE sequence <= 3", 1, "missing"),
        ("DELETE FROM audit_auditevent WHERE sequence >= 19", 19, "tail is missing"),
        ("DELETE FROM audit_auditevent", 1, "tail is missing"),
        ("DELETE FROM audit_audithead", 1, "head row is missing"),
    ],
)
@pytest.mark.usefixtures("events")
def test_a_deleted_event_is_found(deletion: str, first_bad: int, reason: str) -> None:
    as_superuser(deletion)
    found = verify_chain()
    assert found.first_bad == first_bad
    assert reason in found.reason


@pytest.mark.parametrize(
    ("change", "first_bad", "reason"),
    [
        ("sequence = 18", 18, "head"),
        (
            f"sequence = 18, hash = ({HASH_OF.format(18)})",
            19,
            "beyond the head",
        ),
        ("hash = decode(repeat('11', 32), 'hex')", 20, "head"),
        ("sequence = 30", 21, "tail"),
    ],
)
@pytest.mark.usefixtures("events")
def test_a_moved_head_is_found(change: str, first_bad: int, reason: str) -> None:
    as_superuser(f"UPDATE audit_audithead SET {change}")
    found = verify_chain()
    assert found.first_bad == first_bad
    assert reason in found.reason


@pytest.mark.usefixtures("events")
def test_a_trail_cut_off_together_with_its_head_fails_its_checkpoint() -> None:
    kept = verify_chain().last
    as_superuser(
        "DELETE FROM audit_auditevent WHERE sequence > 15",
        f"UPDATE audit_audithead SET sequence = 15, hash = ({HASH_OF.format(15)})",
    )
    assert verify_chain().first_bad is None
    assert verify_chain(checkpoint=kept).first_bad == 16
    with audited():
        for number in range(10):
            record("import.accepted", target=f"import:{number}")
    assert verify_chain().first_bad is None
    assert verify_chain(checkpoint=kept).first_bad == 20


@pytest.mark.usefixtures("events")
def test_reading_may_begin_in_the_middle() -> None:
    as_superuser("UPDATE audit_auditevent SET record_count = 0 WHERE sequence = 7")
    assert verify_chain(start=8).count == 13
    assert verify_chain(start=7).first_bad == 7
    assert verify_chain(start=21).first_bad is None
    assert verify_chain(start=22).first_bad == 22
    as_superuser("DELETE FROM audit_auditevent WHERE sequence = 9")
    assert verify_chain(start=10).first_bad == 9
    with pytest.raises(ValueError, match="first event"):
        verify_chain(start=0)


@pytest.mark.usefixtures("events")
def test_the_command_tells_people_and_programs() -> None:
    status, text = verify()
    assert status == 0
    assert "20 audit events, unbroken." in text
    status, text = verify("--json")
    answer: dict[str, Any] = json.loads(text)
    assert (status, answer["unbroken"], answer["count"], answer["firstBad"]) == (0, True, 20, None)
    assert verify("--from", "21", "--checkpoint", answer["checkpoint"])[0] == 0
    assert verify("--checkpoint", "20:" + "00" * 32, "--json")[0] == 1
    as_superuser("UPDATE audit_auditevent SET record_count = 0 WHERE sequence = 7")
    status, text = verify("--json")
    answer = json.loads(text)
    assert (status, answer["unbroken"], answer["count"], answer["firstBad"]) == (1, False, 6, 7)
    assert verify("--json", "--from", "8")[0] == 0


@pytest.mark.parametrize(
    "options", [("--from", "0"), ("--checkpoint", "7"), ("--from", "9", "--checkpoint", "7:" + "00" * 32)]
)
def test_the_command_refuses_what_it_cannot_check(options: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        verify(*options)
