"""The life of a mapping, on a real PostgreSQL that refuses what the stage should never try."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from importlib import import_module
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from msgspec import UNSET

from audit.models import AuditEvent
from imports import mapping_versions
from imports.mapping.definition import FieldRule, Mapping, MaskPattern, RecordRule, Transform
from imports.mapping.mistake import UnfitMapping
from imports.mapping_rows import define, is_same
from imports.models import FieldMapping
from imports.models import Mapping as Version
from imports.refusal import Refusal
from tests.imports.mappings import field, mapping, publish
from tests.imports.pipeline import Caller, acting_as_command, another_session, in_threads

pytestmark = pytest.mark.django_db(transaction=True)
migration = import_module("imports.migrations.0006_mappings")

FULL = Mapping(
    type="order",
    fields=(
        FieldRule(
            target="attributes.total",
            type="decimal",
            source='attributes."Total, net"',
            transforms=(Transform("trim"), Transform("lookup", {"table": {"a": 1, "b": None}})),
            default=None,
            mandatory=True,
            absent="blank",
            classification="restricted",
            mask="custom",
            mask_pattern=MaskPattern("[0-9]", "#"),
        ),
        FieldRule(target="attributes.state", type="enum", sources=("attributes.a", "attributes.b"), values=("x", "y")),
        FieldRule(target="attributes.sum", type="integer", expression="$sum(attributes.items.price)", default=0),
    ),
    unmapped="keep",
    ignored=("attributes.internal", "customFields.note"),
    rules=(RecordRule(code="no_sum", that="attributes.sum > 0", message="An order has a sum."),),
    schema={"type": "object", "properties": {"attributes": {"properties": {"total": {"minimum": Decimal("1E+2")}}}}},
)


def draft(caller: Caller, meant: Mapping, **others: Any) -> Version:
    with acting_as_command():
        return mapping_versions.draft(caller.customer, meant, **others)


def roll_back(caller: Caller, to: int | None = None, record_type: str = "customer") -> Version:
    with acting_as_command():
        return mapping_versions.roll_back(caller.customer, record_type, to=to)


@contextmanager
def refused(says: str) -> Iterator[None]:
    with pytest.raises(Refusal) as refusal:
        yield
    assert says in refusal.value.detail
    assert refusal.value.code in ("wrong_state", "not_found")


def states(caller: Caller, record_type: str = "customer") -> dict[int, str]:
    versions = Version.objects.filter(customer=caller.customer, record_type=record_type)
    return dict(versions.order_by("version").values_list("version", "state"))


def last_event() -> tuple[str, str, dict[str, Any]]:
    event = AuditEvent.objects.order_by("-sequence")[0]
    assert (event.actor_kind, event.actor_id) == ("command", "tests")
    return event.action, event.target, event.detail


def test_a_version_keeps_every_member_of_its_definition(owner: Caller) -> None:
    saved = Version.objects.get(pk=draft(owner, FULL, note="first").pk)
    assert is_same(define(saved), FULL)
    assert define(saved) == FULL
    assert {name for rule in FULL.fields for name in rule.__struct_fields__ if getattr(rule, name) is not UNSET} == set(
        FieldRule.__struct_fields__
    ), "FULL must use every member that a field rule has"
    assert (saved.version, saved.state, saved.note, saved.created_by) == (1, "draft", "first", "command:tests")


def test_a_published_version_archives_the_one_before(owner: Caller) -> None:
    (first,) = publish(owner, mapping())
    (second,) = publish(owner, mapping(unmapped="drop"))
    assert states(owner) == {1: "archived", 2: "published"}
    first.refresh_from_db()
    assert (first.archived_at, first.archived_by) == (second.published_at, "command:tests")
    action, target, detail = last_event()
    assert (action, target) == ("mapping.published", f"mapping:{owner.customer.slug}/customer/2")
    assert detail == {"fields": 1, "replaces": 1}


def test_types_and_customers_count_their_versions_apart(owner: Caller, stranger: Caller) -> None:
    publish(owner, mapping(), mapping(record_type="order"))
    publish(stranger, mapping())
    assert (states(owner), states(owner, "order"), states(stranger)) == ({1: "published"},) * 3


def test_what_does_not_compile_can_be_drafted_and_not_published(owner: Caller) -> None:
    (before,) = publish(owner, mapping())
    unfit = draft(owner, mapping(field("attributes.a", type="enum"), field("elsewhere.b")))
    events = AuditEvent.objects.count()
    with acting_as_command(), pytest.raises(UnfitMapping) as unfit_mapping:
        mapping_versions.publish(unfit)
    assert len(unfit_mapping.value.mistakes) >= 2
    assert states(owner) == {1: "published", 2: "draft"}
    assert AuditEvent.objects.count() == events
    before.refresh_from_db()
    assert before.archived_at is None


@pytest.mark.parametrize("code", ["lock_timeout", "unknown_type", "x" * 51])
def test_a_rule_cannot_take_the_code_of_another_reason(owner: Caller, code: str) -> None:
    rule = RecordRule(code=code, that="true", message="No.")
    with acting_as_command(), pytest.raises(UnfitMapping, match=r"rules\[0\]\.code"):
        mapping_versions.publish(draft(owner, mapping(rules=(rule,))))


def test_text_that_no_row_holds_is_refused_with_its_place(owner: Caller) -> None:
    with pytest.raises(UnfitMapping, match=r"fields\[0\]\.source"):
        draft(owner, mapping(field("attributes.name", "attributes.\0")))
    with pytest.raises(UnfitMapping, match="surrogate"):
        draft(owner, mapping(field("attributes.name", "attributes.\ud800")))
    assert states(owner) == {}


def test_a_draft_is_changed_and_discarded(owner: Caller) -> None:
    version = draft(owner, mapping())
    with acting_as_command():
        mapping_versions.change(version, mapping(field("attributes.a"), field("attributes.b")))
        assert last_event() == (
            "mapping.changed",
            f"mapping:{owner.customer.slug}/customer/1",
            {"fields": 2},
        )
        assert [rule.target for rule in define(version).fields] == ["attributes.a", "attributes.b"]
        with refused("for order"):
            mapping_versions.change(version, mapping(record_type="order"))
        mapping_versions.discard(version)
    assert last_event()[0] == "mapping.discarded"
    assert not Version.objects.exists()
    assert not FieldMapping.objects.exists()


def test_only_drafts_are_changed_published_and_discarded(owner: Caller) -> None:
    (version,) = publish(owner, mapping())
    events = AuditEvent.objects.count()
    with acting_as_command():
        for act in (
            lambda: mapping_versions.publish(version),
            lambda: mapping_versions.discard(version),
            lambda: mapping_versions.change(version, mapping(unmapped="drop")),
        ):
            with refused("is published"):
                act()
    assert AuditEvent.objects.count() == events


def test_a_draft_from_a_version_says_what_that_says(owner: Caller) -> None:
    publish(owner, FULL)
    with acting_as_command():
        copy = mapping_versions.draft_from(owner.customer, "order", 1)
    assert (copy.version, copy.state, copy.based_on) == (2, "draft", 1)
    assert define(copy) == FULL


def test_a_draft_older_than_what_was_published_meanwhile_is_refused(owner: Caller) -> None:
    older = draft(owner, mapping())
    publish(owner, mapping(unmapped="drop"))
    with acting_as_command(), refused("draft yours again"):
        mapping_versions.publish(older)
    assert states(owner) == {1: "draft", 2: "published"}


def test_rolling_back_publishes_the_older_content_under_the_next_number(owner: Caller) -> None:
    publish(owner, mapping(), mapping(unmapped="drop"), mapping(unmapped="keep"))
    version = roll_back(owner, to=1)
    assert states(owner) == {1: "archived", 2: "archived", 3: "archived", 4: "published"}
    assert (version.version, version.based_on, version.note) == (4, 1, "as version 1")
    assert define(version) == mapping()
    assert last_event() == (
        "mapping.rolled_back",
        f"mapping:{owner.customer.slug}/customer/4",
        {"fields": 1, "restores": 1, "replaces": 3},
    )


def test_rolling_back_without_a_number_goes_to_the_one_before(owner: Caller) -> None:
    with refused("before this one"):
        roll_back(owner)
    publish(owner, mapping(unmapped="drop"))
    with refused("before this one"):
        roll_back(owner)
    publish(owner, mapping(unmapped="keep"))
    assert define(roll_back(owner)).unmapped == "drop"
    assert define(roll_back(owner)).unmapped == "keep"


def test_rolling_back_to_a_draft_or_to_the_published_one_is_refused(owner: Caller) -> None:
    publish(owner, mapping())
    draft(owner, mapping())
    for number, says in ((1, "published one"), (2, "is a draft"), (3, "no version 3")):
        with refused(says):
            roll_back(owner, to=number)


def test_an_archived_type_has_no_mapping_until_it_is_rolled_back(owner: Caller) -> None:
    publish(owner, mapping(unmapped="drop"))
    with acting_as_command():
        mapping_versions.archive(owner.customer, "customer")
        assert last_event()[0] == "mapping.archived"
        assert states(owner) == {1: "archived"}
        with refused("no published mapping"):
            mapping_versions.archive(owner.customer, "customer")
    assert define(roll_back(owner)).unmapped == "drop"


def test_two_publications_at_once_leave_one_published(owner: Caller) -> None:
    drafts = [draft(owner, mapping()), draft(owner, mapping(unmapped="drop"))]

    def publishing(version: Version) -> Any:
        def act() -> Version:
            with acting_as_command():
                return mapping_versions.publish(version)

        return act

    for _ in range(5):
        results = in_threads(*[publishing(version) for version in drafts])
        newest = max(drafts, key=lambda version: version.version)
        assert isinstance(results[drafts.index(newest)], Version), results
        after = states(owner)
        assert [number for number, state in after.items() if state == "published"] == [newest.version]
        drafts = [draft(owner, mapping()), draft(owner, mapping(unmapped="drop"))]


def test_the_same_draft_is_published_once_by_ten_at_once(owner: Caller) -> None:
    version = draft(owner, mapping())

    def act() -> Version:
        with acting_as_command():
            return mapping_versions.publish(version)

    results = in_threads(*[act] * 10)
    assert sum(isinstance(result, Version) for result in results) == 1
    assert {result.code for result in results if isinstance(result, Refusal)} == {"wrong_state"}
    assert AuditEvent.objects.filter(action="mapping.published").count() == 1


def test_parallel_drafts_take_different_numbers(owner: Caller) -> None:
    in_threads(*[lambda: draft(owner, mapping())] * 8)
    assert list(states(owner)) == list(range(1, 9))


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE imports_mapping SET unmapped = 'keep' WHERE version = {number}",
        "UPDATE imports_mapping SET rules = '[1]' WHERE version = {number}",
        "UPDATE imports_mapping SET note = 'x' WHERE version = {number}",
        "UPDATE imports_mapping SET version = 9 WHERE version = {number}",
        "UPDATE imports_mapping SET state = 'draft', published_at = NULL, archived_at = NULL WHERE version = {number}",
        "UPDATE imports_mapping SET state = 'archived', archived_at = now(), note = 'x' WHERE version = {number}",
        "DELETE FROM imports_mapping WHERE version = {number}",
        "DELETE FROM imports_fieldmapping USING imports_mapping m WHERE m.id = mapping_id AND version = {number}",
        "UPDATE imports_fieldmapping SET target = 'x' FROM imports_mapping m WHERE m.id = mapping_id"
        " AND version = {number}",
        "UPDATE imports_fieldmapping SET mapping_id = (SELECT id FROM imports_mapping WHERE version = 3)"
        " FROM imports_mapping m WHERE m.id = mapping_id AND version = {number}",
        "INSERT INTO imports_fieldmapping (mapping_id, position, target, data_type, sources, transforms, values,"
        " mandatory, absent, classification, mask) SELECT id, 7, 'x', 'string', '[]', '[]', '[]', false, 'missing',"
        " 'public', '' FROM imports_mapping WHERE version = {number}",
    ],
)
@pytest.mark.parametrize("number", [1, 2])
def test_the_database_refuses_every_change_of_what_was_published(owner: Caller, sql: str, number: int) -> None:
    publish(owner, mapping(), mapping(unmapped="drop"))
    draft(owner, mapping())
    before = whole()
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.format(number=number))
    assert whole() == before


@pytest.mark.parametrize("table", ["imports_mapping", "imports_fieldmapping"])
def test_replication_mode_does_not_switch_the_triggers_off(owner: Caller, table: str) -> None:
    """A superuser may choose that mode and is refused by the triggers; anybody else may not even choose it."""
    publish(owner, mapping())
    with pytest.raises(DatabaseError) as refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL session_replication_role = replica; DELETE FROM {table}")
    assert "never changes" in str(refused.value) or "permission denied to set parameter" in str(refused.value)


def whole() -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT m::text, f::text FROM imports_mapping m JOIN imports_fieldmapping f ON mapping_id = m.id"
        )
        return sorted(cursor.fetchall())


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("UPDATE imports_mapping SET state = 'archived' WHERE version = 3", "never changes"),
        ("UPDATE imports_mapping SET version = 4 WHERE version = 3", "never changes"),
        (
            "UPDATE imports_mapping SET state = 'published', published_at = now() WHERE version = 3",
            "mapping_one_published",
        ),
        ("UPDATE imports_mapping SET published_at = now() WHERE version = 3", "mapping_state_has_its_times"),
        (
            "INSERT INTO imports_mapping (customer_id, record_type, version, state, unmapped, ignored, rules, note,"
            " created_at, created_by, published_by, archived_by) SELECT customer_id, record_type, {version}, '{state}',"
            " unmapped, ignored, rules, note, now(), '', '', '' FROM imports_mapping WHERE version = 3",
            "{says}",
        ),
    ],
)
@pytest.mark.parametrize(
    ("version", "state", "wanted"), [(2, "draft", "rise"), (3, "draft", "rise"), (4, "published", "begins as a draft")]
)
def test_the_database_keeps_numbers_and_states_in_order(
    owner: Caller, sql: str, says: str, version: int, state: str, wanted: str
) -> None:
    publish(owner, mapping(), mapping(unmapped="drop"))
    draft(owner, mapping())
    with (
        pytest.raises(IntegrityError, match=says.format(says=wanted)),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql.format(version=version, state=state))


def test_truncate_is_refused(owner: Caller) -> None:
    """The test database does without these triggers (tests/conftest.py); here they are put back."""
    publish(owner, mapping())
    with connection.cursor() as cursor:
        cursor.execute(migration.REFUSE_TRUNCATE)
        try:
            for sql in ("TRUNCATE imports_fieldmapping", "TRUNCATE imports_mapping, imports_fieldmapping"):
                with pytest.raises(IntegrityError, match="not truncated"), transaction.atomic():
                    cursor.execute(sql)
        finally:
            cursor.execute(migration.ALLOW_TRUNCATE)
    assert Version.objects.count() == 1


def test_a_field_added_while_its_version_is_published_is_refused(owner: Caller) -> None:
    """The trigger waits for whoever publishes; without its lock the field would slip in."""
    version = draft(owner, mapping())
    add = (
        "INSERT INTO imports_fieldmapping (mapping_id, position, target, data_type, sources, transforms, values,"
        " mandatory, absent, classification, mask) VALUES (%s, 7, 'x', 'string', '[]', '[]', '[]', false, 'missing',"
        " 'public', '')"
    )
    with another_session() as session:
        session.execute("BEGIN")
        session.execute(
            "UPDATE imports_mapping SET state = 'published', published_at = now() WHERE id = %s", [version.pk]
        )

        def insert() -> str:
            try:
                with connection.cursor() as cursor:
                    cursor.execute(add, [version.pk])
            except IntegrityError as refused:
                return str(refused)
            return "added"

        def commit() -> None:
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            deadline = time.monotonic() + 30
            while session.execute(waits).fetchone() == (0,) and time.monotonic() < deadline:
                pass
            session.execute("COMMIT")

        said, _ = in_threads(insert, commit)
    assert "never changes" in said
