"""`manage.py personal_data`: what an administrator types, sees and is kept from."""

import json
import stat
from collections.abc import Iterator
from functools import partial
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from audit.clock import database_now
from audit.models import AuditEvent
from customers import keyring as rings
from imports import erasure
from imports.models import ImportBatch
from imports.personal import requests
from tests.imports.personal.people import ADA, CANARY, ada, everywhere
from tests.imports.pipeline import Caller, acting_as_command, another_session, record, run, stored_by

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("small_batches")]


@pytest.fixture(autouse=True)
def rings_forgotten() -> Iterator[None]:
    rings.forget()
    yield
    rings.forget()


def personal_data(*arguments: str) -> str:
    out = StringIO()
    call_command("personal_data", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_find_says_how_much_and_where_and_quotes_nothing(owner: Caller) -> None:
    jobs = everywhere(owner)
    said = personal_data("find", "owner", ADA)
    assert "1 stored records" in said
    assert "4 failed records" in said
    assert "8 places in what imports sent" in said
    assert "as customer, unknown" in said
    assert all(str(job.uuid) in said for job in jobs)
    assert CANARY not in said


def test_the_id_may_come_from_standard_input(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    run(owner, [ada()])
    monkeypatch.setattr("sys.stdin", StringIO(f"{ADA}\n"))
    assert "1 stored records" in personal_data("find", "owner", "-")


def test_an_export_goes_to_the_screen_or_to_a_new_private_file(owner: Caller, tmp_path: Path) -> None:
    run(owner, [ada()])
    assert json.loads(personal_data("export", "owner", ADA))["records"][0]["data"]["id"] == ADA
    file = tmp_path / "ada.json"
    assert CANARY not in personal_data("export", "owner", ADA, "--output", str(file))
    assert json.loads(file.read_bytes())["counts"] == {
        "records": 1,
        "earlierVersions": 0,
        "failedRecords": 0,
        "sent": 1,
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(CommandError, match="exists"):
        personal_data("export", "owner", ADA, "--output", str(file))


def test_erase_asks_first(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    run(owner, [ada()])
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    with pytest.raises(CommandError, match="Nothing was erased"):
        personal_data("erase", "owner", ADA)
    assert len(stored_by(owner)) == 1
    monkeypatch.setattr("builtins.input", lambda _: "erase")
    assert "Erased" in personal_data("erase", "owner", ADA)
    assert stored_by(owner) == {}
    event = AuditEvent.objects.get(action="personal_data.erased")
    assert (event.actor_kind, event.actor_id) == ("command", "personal_data")


def test_one_id_of_two_things_is_not_erased_unasked(owner: Caller) -> None:
    run(owner, [record("7"), record("7", "product")])
    with pytest.raises(CommandError, match="customer, product"):
        personal_data("erase", "owner", "7", "--yes")
    assert len(stored_by(owner)) == 2
    personal_data("erase", "owner", "7", "--yes", "--type", "product")
    assert list(stored_by(owner)) == [("customer", "7")]


def test_related_records_are_named_by_a_path(owner: Caller) -> None:
    run(owner, [ada(), record("O-1", "order", attributes={"customerId": ADA})])
    assert "2 stored records" in personal_data("find", "owner", ADA, "--related", "attributes.customerId")
    with pytest.raises(CommandError, match="a path begins with"):
        personal_data("find", "owner", ADA, "--related", "customerId")


@pytest.mark.parametrize("what", ["find", "export", "erase"])
def test_a_value_that_does_not_open_is_no_quiet_success(owner: Caller, what: str) -> None:
    run(owner, [ada()])
    ImportBatch.objects.update(payload=b"\x01damaged" * 20)
    with pytest.raises(CommandError, match="1 values did not open"):
        personal_data(what, "owner", ADA, "--yes", "--type", "customer")


def test_what_cannot_be_is_said_plainly(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments, says in (
        (("find", "nobody", ADA), "no customer"),
        (("find", "owner", "x" * 256), "1 to 255"),
    ):
        with pytest.raises(CommandError, match=says):
            personal_data(*arguments)
    run(owner, [ada()])
    monkeypatch.setattr(requests, "erase", partial(requests.erase, patience=0))
    with another_session() as session, session.transaction():
        session.execute("SELECT id FROM imports_importbatch FOR NO KEY UPDATE")
        with pytest.raises(CommandError, match="run this again"):
            personal_data("erase", "owner", ADA, "--yes", "--type", "customer")
    with acting_as_command():
        erasure.erase(owner.customer, now=database_now())
    rings.forget()
    for what in ("find", "export", "erase"):
        with pytest.raises(CommandError, match="was erased"):
            personal_data(what, "owner", ADA, "--yes", "--type", "customer")
