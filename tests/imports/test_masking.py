"""What staff sees of a record: values by classification, and of what no mapping names not even the name."""

import json
from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.db import models
from django.test import Client
from django.urls import reverse

from audit.clock import database_now
from audit.models import AuditEvent
from customers import erasure
from customers import keyring as rings
from imports import mending
from imports.envelope import NDJSON
from imports.masking import GONE, LOCKED, UNREADABLE, masked_failure, masked_record
from imports.models import FailedRecord, Record
from tests.imports.mappings import field, mapping, publish
from tests.imports.pipeline import METADATA, Caller, acting_as_command, record, run

pytestmark = [pytest.mark.django_db(transaction=True)]

ADA = {
    "name": "Ada Canary Lovelace",
    "mail": "ada.canary@example.com",
    "city": "London",
    "Canary as a name": "canary-value",
    "list": [{"Canary": "canary"}],
}
MAPPING = (
    field("attributes.name", "attributes.name", classification="restricted"),
    field("attributes.contact", "attributes.mail", classification="confidential"),
    field("attributes.city", "attributes.city", classification="public"),
)
# Each is refused; whatever may be somewhere in a record holds a canary somewhere.
BROKEN = [
    record("Canary-1", attributes=ADA, customFields={"Canary": 7}),
    record("Canary-2", "canary type", attributes=ADA),
    record("Canary-3", attributes=ADA, **{"Canary member": "canary"}),
    record(["Canary-4"], attributes=ADA),
    {"id": "Canary-5", "type": "customer", "attributes": "canary"},
    b'{"id":"Canary-6","Canary":',
    b'["Canary-7"]',
    b'"Canary-8"',
]
METADATA_LINE = json.dumps({"metadata": METADATA}).encode()


def failures() -> list[FailedRecord]:
    return list(FailedRecord.objects.select_related("job").order_by("job_id", "index"))


def shown(failure: FailedRecord) -> str:
    masked = masked_failure(failure)
    return "\n".join((masked.record, masked.edited, *(" ".join(problem) for problem in masked.problems)))


@pytest.mark.parametrize("is_mapped", [False, True])
def test_nothing_of_a_failed_record_shows_that_no_mapping_makes_public(owner: Caller, is_mapped: bool) -> None:
    if is_mapped:
        publish(owner, mapping(*MAPPING, unmapped="drop"))
    lines = [METADATA_LINE, *(raw if isinstance(raw, bytes) else json.dumps(raw).encode() for raw in BROKEN)]
    run(owner, b"\n".join(lines), media_type=NDJSON)
    texts = [shown(failure) for failure in failures()]
    assert len(texts) == len(BROKEN)
    for text in texts:
        assert "anary" not in text
    assert [UNREADABLE in text for text in texts] == [False] * 5 + [True] * 3
    assert ("London" in texts[0]) is is_mapped


def test_without_a_mapping_only_the_shape_is_shown(owner: Caller) -> None:
    run(owner, [record("Canary-1", attributes=ADA, customFields={"Canary": 7})])
    (failure,) = failures()
    assert json.loads(masked_failure(failure).record) == {
        "id": "Ca***-1",
        "type": "customer",
        "attributes": {"*": "***"},
        "customFields": {"*": "***"},
    }
    assert masked_failure(failure).problems == (
        ("custom_field_not_a_string", "/customFields/*", "A custom field's value must be a string."),
    )


def test_with_a_mapping_each_field_is_shown_by_its_classification(owner: Caller) -> None:
    publish(owner, mapping(*MAPPING, unmapped="drop"))
    run(owner, [record("Canary-1", attributes=ADA, customFields={"Canary": 7}), record("A", attributes=ADA)])
    (failure,) = failures()
    assert json.loads(masked_failure(failure).record)["attributes"] == {
        "name": "***", "mail": "ad***om", "city": "London", "*": "***"
    }  # fmt: skip
    assert json.loads(masked_record(Record.objects.get()))["attributes"] == {
        "name": "***", "contact": "ad***om", "city": "London"
    }  # fmt: skip


def test_a_stricter_mapping_masks_what_is_there_already(owner: Caller) -> None:
    publish(owner, mapping(field("attributes.name", classification="public")))
    run(owner, [record("A")])
    assert "name of A" in masked_record(Record.objects.get())
    publish(owner, mapping(field("attributes.name", classification="restricted")))
    assert "name of A" not in masked_record(Record.objects.get())


def test_an_edit_is_masked_like_what_was_sent(owner: Caller) -> None:
    run(owner, [record("Canary-1", attributes=ADA, customFields={"Canary": 7})])
    (failure,) = failures()
    assert masked_failure(failure).edited == ""
    with acting_as_command():
        mending.edit(failure, json.dumps(record("Canary-9", attributes=ADA)).encode(), attempt=1)
    (failure,) = failures()
    assert json.loads(masked_failure(failure).edited)["attributes"] == {"*": "***"}


def test_what_is_gone_or_locked_is_said(owner: Caller) -> None:
    run(owner, [record("A"), record("Canary-1", customFields={"Canary": 7})])
    FailedRecord.objects.update(payload=None, problems=None, key=None, state="expired")
    assert masked_failure(failures()[0]).record == GONE
    with acting_as_command():
        erasure.erase(owner.customer, now=database_now())
    rings.forget()
    assert masked_record(Record.objects.get()) == LOCKED
    rings.forget()


def page(obj: models.Model) -> str:
    return reverse(f"admin:imports_{obj._meta.model_name}_change", args=[obj.pk])


@pytest.mark.parametrize("permissions", [(), ("view_masked_record",)])
def test_the_admin_shows_it_to_those_who_may(owner: Caller, permissions: tuple[str, ...]) -> None:
    publish(owner, mapping(*MAPPING, unmapped="drop"))
    run(owner, [record("A", attributes=ADA), BROKEN[0]])
    user = get_user_model().objects.create(username="support", is_staff=True)
    codenames = ("view_record", "view_failedrecord", *permissions)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames, content_type__app_label="imports"))
    client = Client()
    client.force_login(user)
    for obj in (FailedRecord.objects.get(), Record.objects.get()):
        answer = client.get(page(obj))
        assert answer.status_code == 200
        text = answer.content.decode()
        assert ("London" in text, "ad***om" in text) == (bool(permissions), bool(permissions))
        assert "anary" not in text


def test_the_admin_writes_markup_as_text(owner: Caller) -> None:
    publish(owner, mapping(field("attributes.name", classification="public")))
    run(owner, [record("A", attributes={"name": "<script>alert(1)</script>"})])
    client = Client()
    client.force_login(get_user_model().objects.create(username="root", is_staff=True, is_superuser=True))
    text = client.get(page(Record.objects.get())).content.decode()
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert(1)" not in text


def show_record(*arguments: str) -> str:
    out = StringIO()
    call_command("show_record", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_masks_unless_a_reason_is_given(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    run(owner, [record("Canary-1", attributes=ADA)])
    assert "anary" not in show_record("owner", "customer", "Canary-1")
    assert not AuditEvent.objects.filter(action="record.revealed").exists()
    monkeypatch.setattr("sys.stdin", StringIO("Canary-1\n"))
    shown = show_record("owner", "customer", "-", "--reveal", "--reason", "ticket-4711")
    assert json.loads(shown)["attributes"] == ADA
    event = AuditEvent.objects.get(action="record.revealed")
    assert event.detail == {"type": "customer", "reason": "ticket-4711"}
    assert (event.target, event.actor_id) == (f"record:{Record.objects.get().pk}", "show_record")


def test_the_command_says_what_it_lacks(owner: Caller) -> None:
    run(owner, [record("A")])
    for arguments, says in (
        (("nobody", "customer", "A"), "no customer"),
        (("owner", "order", "A"), "No such record"),
        (("owner", "customer", "A", "--reveal"), "Say why"),
        (("owner", "customer", "A", "--reveal", "--reason", "she asked for it"), "one word"),
        (("owner", "customer", "x" * 256), "1 to 255"),
    ):
        with pytest.raises(CommandError, match=says):
            show_record(*arguments)
    assert not AuditEvent.objects.filter(action="record.revealed").exists()
