"""Each question of the doctor, seen to answer well and, with its fault planted, badly."""

import io
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from pytest_django.fixtures import Settings

from audit.models import AuditHead
from config.doctor import State, data, examine, host, servers
from customers.models import DataKey
from imports import doorbell
from imports.models import ImportBatch, ImportJob, Record
from tests.imports.mappings import mapping, publish
from tests.imports.pipeline import bad_record, enrol, push, record, records, run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def no_worker() -> None:
    """A worker that another test killed leaves its heartbeat behind until it expires."""
    valkey = doorbell.queue().connection
    for heartbeat in list(valkey.scan_iter("rq:worker:*")):
        valkey.delete(heartbeat)


@pytest.fixture
def listening_worker() -> Iterator[None]:
    valkey = doorbell.queue().connection
    valkey.set("rq:worker:doctor-test", "", ex=60)
    yield
    valkey.delete("rq:worker:doctor-test")


@pytest.fixture
def done_import() -> ImportJob:
    return run(enrol("BigCorp"), [*records(3), bad_record()])


def doctor(*arguments: str) -> tuple[int, str]:
    """(exit status, what it printed)."""
    printed = io.StringIO()
    try:
        call_command("doctor", *arguments, stdout=printed, no_color=True)
    except SystemExit as ended:
        return int(ended.code or 0), printed.getvalue()
    return 0, printed.getvalue()


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def fault(subject: str) -> str:
    """What the one fault of this subject says; fails where there is none."""
    (says,) = [found.says for found in examine() if found.subject == subject and found.state is State.FAULT]
    return says


def test_a_mapping_that_no_longer_compiles_is_a_fault() -> None:
    publish(enrol("BigCorp"), mapping())
    assert next(found for found in examine() if found.subject == "Mappings").says == "1 published, each compiles"
    execute("ALTER TABLE imports_fieldmapping DISABLE TRIGGER USER")
    execute("UPDATE imports_fieldmapping SET data_type = 'ternary'")
    execute("ALTER TABLE imports_fieldmapping ENABLE TRIGGER USER")
    execute("ALTER TABLE imports_fieldmapping ENABLE ALWAYS TRIGGER field_mapping_stays")
    assert "bigcorp customer 1 no longer compile" in fault("Mappings")


@pytest.mark.usefixtures("listening_worker", "done_import")
def test_a_house_in_order_has_no_fault() -> None:
    status, printed = doctor()
    assert status == 0, printed
    assert "No fault found." in printed
    assert "3, each with its job and data key" in printed
    assert "1, each with its batch" in printed


@pytest.mark.usefixtures("listening_worker", "done_import")
def test_a_program_reads_one_object() -> None:
    status, printed = doctor("--json")
    found = json.loads(printed)
    assert (status, found["healthy"]) == (0, True)
    assert {finding["state"] for finding in found["findings"]} <= {"ok", "warning"}


@pytest.mark.usefixtures("listening_worker")
def test_a_record_without_its_job_is_a_fault(done_import: ImportJob) -> None:
    for table in ("qualityscore", "failedrecord", "importbatch", "importjob"):
        execute(f"DELETE FROM imports_{table}")
    status, printed = doctor()
    assert status == 1
    assert "3 of 3 lack their job and 0 their data key" in printed
    assert printed.rstrip().endswith("at fault.")


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE imports_record SET data_key_id = data_key_id + 1000",
        "UPDATE customers_datakey SET state = 'destroyed', wrapped = NULL WHERE purpose = 'record'",
        "UPDATE customers_datakey SET purpose = 'secret', version = 9 WHERE purpose = 'record'",
    ],
)
def test_a_record_without_a_data_key_that_opens_it_is_a_fault(harm: str, done_import: ImportJob) -> None:
    execute(harm)
    assert "0 their job" not in fault("Records")
    assert "lack their job and 3 their data key" in fault("Records")


def test_a_record_of_another_customers_job_is_a_fault(done_import: ImportJob) -> None:
    stranger = enrol("Stranger")
    Record.objects.update(customer=stranger.customer)
    assert "3 of 3 lack their job and 3 their data key" in fault("Records")


def test_a_version_without_its_data_key_is_a_fault() -> None:
    caller = enrol("BigCorp")
    run(caller, records(3))
    run(caller, [record("A-0", attributes={})])
    execute("UPDATE imports_recordversion SET data_key_id = data_key_id + 1000")
    assert "0 of 1 lack their job and 1 their data key" in fault("Record versions")


def test_a_batch_of_another_customer_is_a_fault(done_import: ImportJob) -> None:
    ImportBatch.objects.update(customer=enrol("Stranger").customer)
    assert "1 of 1 name another customer" in fault("Batches")


def test_a_failed_record_without_its_batch_is_a_fault(done_import: ImportJob) -> None:
    execute("UPDATE imports_failedrecord SET batch_id = batch_id + 1000")
    assert "1 of 1 lack their batch" in fault("Failed records")


def test_a_data_key_without_its_master_key_is_a_fault(done_import: ImportJob, settings: Settings) -> None:
    used = DataKey.objects.values_list("kek_id", flat=True)[0]
    settings.MASTER_KEYS = f"other:{b64encode(bytes(range(100, 132))).decode()}"
    assert f"put master key {used} back" in data.data_keys().says
    settings.MASTER_KEYS = ""
    assert data.data_keys().state is State.FAULT


def test_a_broken_trail_is_a_fault(done_import: ImportJob) -> None:
    execute("ALTER TABLE audit_audithead DISABLE TRIGGER USER")
    AuditHead.objects.update(sequence=AuditHead.objects.get().sequence + 5)
    execute("ALTER TABLE audit_audithead ENABLE TRIGGER USER")
    assert "the tail is missing" in data.audit_trail().says


def test_a_migration_that_is_not_applied_is_a_fault() -> None:
    execute("CREATE TEMP TABLE kept AS SELECT * FROM django_migrations WHERE app = 'imports'")
    execute("DELETE FROM django_migrations WHERE app = 'imports'")
    try:
        assert "run manage.py migrate" in fault("Migrations")
    finally:
        execute("INSERT INTO django_migrations SELECT * FROM kept")


def test_too_many_connections_are_a_fault(settings: Settings) -> None:
    settings.WORKERS = 10_000
    assert "raise max_connections" in fault("Connections")


@pytest.mark.usefixtures("no_worker")
def test_no_listening_worker_is_a_fault() -> None:
    assert "none listens" in fault("Workers")


def test_a_valkey_that_is_away_is_a_fault_and_hides_nothing_else(settings: Settings, tmp_path: Path) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/no.sock?db=0"
    assert servers.valkey().state is State.FAULT
    assert "Audit trail" in [found.subject for found in examine()]


def test_an_import_that_waits_too_long_is_a_warning(done_import: ImportJob) -> None:
    waiting = push(enrol("Other"), records(1))
    assert data.oldest_waiting().state is State.OK
    execute("UPDATE imports_importjob SET created_at = now() - interval '1 hour'")
    found = data.oldest_waiting()
    assert found.state is State.WARNING
    assert str(waiting.uuid) in found.says


def test_secrets_that_others_may_read_are_a_fault(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    assert list(host.private_files()) == []
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    (folder / "master_keys").touch(mode=0o600)
    assert [found.state for found in host.private_files()] == [State.OK]
    (folder / "master_keys").chmod(0o640)
    (found,) = host.private_files()
    assert found.state is State.FAULT
    assert "others may read master_keys" in found.says


def test_a_full_disk_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    assert host.free_disk().state is not State.FAULT
    monkeypatch.setattr(host, "FULL_DISK_BYTES", 2**62)
    assert "make room" in host.free_disk().says


def test_a_failed_check_of_the_settings_is_a_fault(settings: Settings) -> None:
    settings.SECRET_KEY = "short"
    assert any("longshore.E005" in found.says for found in host.settings_in_order() if found.state is State.FAULT)
