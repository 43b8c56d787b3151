"""Six ways and more to tamper through SQL, each refused by the database itself."""

from importlib import import_module

import pytest
from django.db import ProgrammingError, connection, transaction

from audit.models import AuditEvent, AuditHead
from audit.trail import audited, record, verify_chain

append_only = import_module("audit.migrations.0002_append_only")

COPY_OF_THREE = (
    "INSERT INTO audit_auditevent SELECT {sequence}, at, actor_kind, actor_id, action, target, customer_id,"
    " record_count, source_ip, request_id, detail, {previous}, hash FROM audit_auditevent WHERE sequence = 3"
)


@pytest.fixture
def three_events(acting: None, db: None) -> None:
    with audited():
        for number in (1, 2, 3):
            record("import.accepted", target=f"import:{number}")


def refused(sql: str) -> str:
    with pytest.raises(ProgrammingError) as error, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)
    assert verify_chain().count == 3
    assert verify_chain().first_bad is None
    return str(error.value)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_auditevent SET record_count = 0 WHERE sequence = 2",
        "UPDATE audit_auditevent SET record_count = 0 WHERE false",
        "DELETE FROM audit_auditevent WHERE sequence = 3",
        "INSERT INTO audit_auditevent SELECT * FROM audit_auditevent WHERE sequence = 3"
        " ON CONFLICT (sequence) DO UPDATE SET record_count = 0",
        "MERGE INTO audit_auditevent e USING (SELECT 1 AS one) AS s ON e.sequence = 2"
        " WHEN MATCHED THEN UPDATE SET record_count = 0",
        "DELETE FROM audit_audithead",
    ],
)
@pytest.mark.usefixtures("three_events")
def test_an_event_is_neither_changed_nor_deleted(sql: str) -> None:
    assert "append-only" in refused(sql)


@pytest.mark.usefixtures("three_events")
def test_replication_mode_does_not_switch_the_triggers_off() -> None:
    """A superuser may choose that mode and is refused by the triggers; anybody else may not even choose it."""
    message = refused("SET LOCAL session_replication_role = replica; DELETE FROM audit_auditevent")
    assert "append-only" in message or "permission denied to set parameter" in message


@pytest.mark.parametrize(
    ("sequence", "previous"),
    [("5", "hash"), ("4", "previous_hash"), ("4", "decode(repeat('00', 32), 'hex')")],
)
@pytest.mark.usefixtures("three_events")
def test_an_event_is_not_forged_beside_the_chain(sequence: str, previous: str) -> None:
    assert "does not continue" in refused(COPY_OF_THREE.format(sequence=sequence, previous=previous))


@pytest.mark.parametrize(
    "change",
    [
        "sequence = 2, hash = (SELECT hash FROM audit_auditevent WHERE sequence = 2)",
        "hash = decode(repeat('00', 32), 'hex')",
        "sequence = 4",
        "sequence = sequence",
    ],
)
@pytest.mark.usefixtures("three_events")
def test_the_head_only_moves_forward_to_an_event(change: str) -> None:
    assert "only moves forward" in refused(f"UPDATE audit_audithead SET {change}")


@pytest.mark.usefixtures("three_events")
def test_a_second_head_is_refused() -> None:
    head = "INSERT INTO audit_audithead (id, sequence, hash) VALUES (2, 0, decode(repeat('00', 32), 'hex'))"
    assert "made once" in refused(head)


@pytest.mark.usefixtures("three_events")
def test_truncate_is_refused() -> None:
    """The test database does without these triggers (tests/conftest.py); here they are put back."""
    with connection.cursor() as cursor:
        cursor.execute(append_only.REFUSE_TRUNCATE)
    assert "append-only" in refused("TRUNCATE audit_auditevent")
    assert "append-only" in refused("TRUNCATE audit_audithead")
    assert "append-only" in refused("TRUNCATE audit_auditevent, audit_audithead CASCADE")


@pytest.mark.usefixtures("three_events")
def test_the_orm_is_refused_too() -> None:
    event = AuditEvent.objects.get(sequence=2)
    event.record_count = 0
    for tamper in (event.save, event.delete, AuditEvent.objects.all().delete, AuditHead.objects.all().delete):
        with pytest.raises(ProgrammingError, match="append-only"), transaction.atomic():
            tamper()
    assert verify_chain().first_bad is None


@pytest.mark.usefixtures("three_events")
def test_a_role_that_does_not_own_the_tables_can_write_events_and_nothing_else() -> None:
    """The grants that docs/audit.md names are enough, and with them the triggers cannot be switched off."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user")
        if not cursor.fetchone()[0]:
            pytest.skip("this database user may not create roles")
        cursor.execute(
            "CREATE ROLE longshore_test_writer;"
            "GRANT SELECT, INSERT ON audit_auditevent TO longshore_test_writer;"
            "GRANT SELECT, UPDATE ON audit_audithead TO longshore_test_writer;"
            "SET LOCAL ROLE longshore_test_writer"
        )
    for statement in (
        "UPDATE audit_auditevent SET record_count = 0",
        "DELETE FROM audit_auditevent",
        "TRUNCATE audit_auditevent",
        "ALTER TABLE audit_auditevent DISABLE TRIGGER USER",
        "DROP TRIGGER audit_event_no_change ON audit_auditevent",
        "SET LOCAL session_replication_role = replica",
    ):
        refused(statement)
    with audited():
        record("import.accepted", target="import:4")
    assert (verify_chain().count, verify_chain().first_bad) == (4, None)
