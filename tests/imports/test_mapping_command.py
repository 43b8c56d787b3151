"""manage.py mappings: files, versions, what is printed and with which status it ends."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from audit.models import AuditEvent
from customers.models import Customer
from imports import mapping_plan
from imports.models import Mapping
from tests.imports.pipeline import Caller, acting_as_command, before_insert, in_threads

pytestmark = pytest.mark.django_db(transaction=True)

ORDERS = """
mappings:
- customer: owner
  type: order
  fields:
  - {target: attributes.total, type: decimal, source: attributes.Total}
"""


def document(*names: str, more: str = "") -> str:
    fields = "".join(
        f"\n  - {{target: attributes.{name.lower()}, type: string, source: attributes.{name}}}" for name in names
    )
    return f"mappings:\n- customer: owner\n  type: customer\n  fields:{fields}\n{more}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "owner.yaml"


def mappings(*arguments: object, status: int = 0) -> str:
    """What the command printed; its exit status must be the one named."""
    out = io.StringIO()
    try:
        call_command("mappings", *map(str, arguments), stdout=out)
    except SystemExit as end:
        assert end.code == status
        return out.getvalue()
    except CommandError as error:
        assert status == 1, error
        return f"{out.getvalue()}{error}"
    assert status == 0
    return out.getvalue()


def states() -> list[tuple[str, str, int, str]]:
    return list(
        Mapping.objects.order_by("customer", "record_type", "version").values_list(
            "customer__slug", "record_type", "version", "state"
        )
    )


def test_plan_says_what_apply_then_does_and_writes_nothing(owner: Caller, file: Path) -> None:
    file.write_text(document("Name"))
    told = mappings("plan", file, status=3)
    assert "owner customer: create and publish version 1\n  a first mapping for this type\n" in told
    assert "1 to change, 0 unchanged." in told
    assert states() == []
    assert "owner customer: version 1 is published" in mappings("apply", file)
    assert states() == [("owner", "customer", 1, "published")]
    assert "unchanged, version 1 says the same" in mappings("plan", file)


def test_applying_twice_changes_nothing_the_second_time(owner: Caller, file: Path) -> None:
    file.write_text(document("Name"))
    mappings("apply", file)
    events = AuditEvent.objects.count()
    assert "0 changed, 1 unchanged." in mappings("apply", file)
    assert states() == [("owner", "customer", 1, "published")]
    assert AuditEvent.objects.count() == events


def test_a_changed_file_says_what_changes(owner: Caller, file: Path) -> None:
    file.write_text(document("Name", "Age"))
    mappings("apply", file)
    file.write_text(document("Name", "City", more="  unmapped: drop\n"))
    told = mappings("plan", file, status=3)
    assert "create and publish version 2 in place of 1\n  + attributes.city\n  - attributes.age\n" in told
    assert '  ~ mapping unmapped: "refuse" -> "drop"\n' in told
    (step,) = json.loads(mappings("plan", file, "--json", status=3))
    assert (step["customer"], step["type"], step["action"]) == ("owner", "customer", "create")
    assert (step["version"], step["replaces"]) == (2, 1)
    assert step["difference"]["fields_added"] == ["attributes.city"]


def test_a_draft_is_kept_as_one_and_published_by_the_next_apply(owner: Caller, file: Path) -> None:
    file.write_text(document("Name"))
    assert "version 1 is a draft" in mappings("apply", file, "--draft")
    assert "unchanged" in mappings("apply", file, "--draft")
    assert states() == [("owner", "customer", 1, "draft")]
    assert "publish draft 1" in mappings("plan", file, status=3)
    mappings("apply", file)
    assert states() == [("owner", "customer", 1, "published")]
    mappings("plan", file, "--draft")


def test_a_customer_that_is_not_there_is_named(owner: Caller, file: Path) -> None:
    file.write_text(document("Name") + ORDERS[len("\nmappings:\n") :].replace("owner", "nobody"))
    assert "no customer 'nobody'" in mappings("apply", file, status=1)
    assert states() == []


def test_all_mistakes_of_a_file_are_named_with_their_places(owner: Caller, file: Path) -> None:
    more = """- type: order
  fields:
  - {target: elsewhere, type: string, source: attributes.a}
  - {target: attributes.b, type: enum, source: attributes.b}
"""
    file.write_text(document("Name", more=more))
    said = mappings("plan", file, status=1)
    assert said.startswith("2 mistakes:\nmappings[1].fields[0].target: ")
    printed = mappings("plan", file, "--json", status=1).splitlines()[0]
    assert [mistake["place"] for mistake in json.loads(printed)["mistakes"]] == [
        "mappings[1].fields[0].target",
        "mappings[1].fields[1].values",
    ]
    assert "mappings[1].fields[0].target" in mappings("apply", file, status=1)
    assert states() == []


def test_a_file_says_whose_each_mapping_is_and_once(owner: Caller, file: Path) -> None:
    rules = """  rules:
  - {code: lock_timeout, that: "true", message: No.}
"""
    file.write_text(
        document("Name") + document("Age", more=rules).replace("customer: owner\n  ", "")[len("mappings:\n") :]
    )
    said = mappings("plan", file, status=1)
    assert "1 mistake:\nmappings[1].customer: whose mapping it is" in said
    said = mappings("plan", file, "--customer", "owner", status=1)
    assert "mappings[1]: the file has another mapping for customer of owner" in said
    assert "mappings[1].rules[0].code: this code has a meaning already" in said
    assert states() == []


def test_a_file_whose_last_mapping_the_database_refuses_changes_nothing(owner: Caller, file: Path) -> None:
    file.write_text(document("Name") + ORDERS[len("\nmappings:\n") :])
    events = AuditEvent.objects.count()
    second = "IF nextval('test_inserts') = 2 THEN RAISE 'the disk is full'; END IF"
    with before_insert("imports_mapping", second), pytest.raises(DatabaseError, match="disk is full"):
        mappings("apply", file)
    assert states() == []
    assert AuditEvent.objects.count() == events
    mappings("apply", file)
    assert len(states()) == 2


def test_the_customer_is_named_in_the_file_or_beside_it(owner: Caller, stranger: Caller, file: Path) -> None:
    file.write_text(document("Name").replace("customer: owner\n  ", ""))
    assert "--customer" in mappings("apply", file, status=1)
    mappings("apply", file, "--customer", "stranger")
    assert states() == [("stranger", "customer", 1, "published")]
    file.write_text(document("Name"))
    assert "not of stranger" in mappings("apply", file, "--customer", "stranger", status=1)


def test_a_file_that_cannot_be_read_is_said_plainly(file: Path) -> None:
    assert "cannot be read" in mappings("plan", file, status=1)
    file.write_bytes(b"\xff")
    assert "UTF-8" in mappings("plan", file, status=1)


def test_what_is_exported_applies_without_a_change(owner: Caller, file: Path) -> None:
    file.write_text(document("Name", "Age", more="  unmapped: keep\n") + ORDERS[len("\nmappings:\n") :])
    mappings("apply", file)
    exported = mappings("export", "--customer", "owner")
    file.write_text(exported)
    assert "0 to change, 2 unchanged." in mappings("plan", file)
    assert mappings("export") == exported


def test_versions_are_listed_shown_and_compared(owner: Caller, file: Path) -> None:
    assert "There are none" in mappings("list")
    file.write_text(document("Name"))
    mappings("apply", file)
    file.write_text(document("Name", "City"))
    mappings("apply", file)
    lines = mappings("list", "--all").splitlines()
    assert lines[0].startswith("owner customer version 2, published 20")
    assert lines[0].endswith("by command:mappings")
    assert "archived" in lines[1]
    assert len(mappings("list").splitlines()) == 1
    listed = json.loads(mappings("list", "--json", "--customer", "owner"))
    assert [(row["version"], row["state"], row["publishedBy"]) for row in listed] == [
        (2, "published", "command:mappings")
    ]
    assert "attributes.City" in mappings("show", "owner", "customer")
    assert "attributes.City" not in mappings("show", "owner", "customer", 1)
    assert json.loads(mappings("show", "owner", "customer", "--json"))["mapping"]["type"] == "customer"
    assert "  + attributes.city\n" in mappings("diff", "owner", "customer", 1, 2)
    assert "  - attributes.city\n" in mappings("diff", "owner", "customer", 2, 1)
    assert "They say the same." in mappings("diff", "owner", "customer")
    assert json.loads(mappings("diff", "owner", "customer", 1, "--json"))["difference"]["fields_added"] == [
        "attributes.city"
    ]


def test_versions_are_drafted_edited_published_rolled_back_archived_and_discarded(owner: Caller, file: Path) -> None:
    file.write_text(document("Name"))
    mappings("apply", file)
    mappings("draft", "owner", "customer", 1)
    file.write_text(document("City"))
    mappings("edit", "owner", "customer", 2, file)
    assert json.loads(mappings("publish", "owner", "customer", 2, "--json"))["state"] == "published"
    assert "version 3, published" in mappings("rollback", "owner", "customer")
    assert "attributes.Name" in mappings("show", "owner", "customer")
    mappings("archive", "owner", "customer")
    assert "no published mapping" in mappings("show", "owner", "customer", status=1)
    mappings("draft", "owner", "customer", 2)
    assert "Discarded" in mappings("discard", "owner", "customer", 4)
    assert states() == [("owner", "customer", number, "archived") for number in (1, 2, 3)]
    assert (
        json.loads(mappings("publish", "owner", "customer", 3, "--json", status=1).splitlines()[0])["code"]
        == "wrong_state"
    )


def test_files_applied_at_once_leave_each_type_with_one_of_them(owner: Caller, stranger: Caller) -> None:
    """Files that name the customers in opposite orders do not lock each other out."""
    both = [document(name) + document(name).replace("owner", "stranger").partition("\n")[2] for name in "AB"]
    crossed = "mappings:\n" + "- customer: ".join(["", *reversed(both[1].partition("\n")[2].split("- customer: ")[1:])])

    def applying(text: str) -> Any:
        def act() -> Any:
            with acting_as_command():
                return mapping_plan.apply(text)

        return act

    in_threads(*[applying(both[0]), applying(crossed)] * 4)
    for customer in Customer.objects.all():
        published = Mapping.objects.filter(customer=customer, state="published")
        assert published.count() == 1
        assert published.get().version == Mapping.objects.filter(customer=customer).count()
