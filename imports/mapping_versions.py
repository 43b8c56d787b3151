"""The life of a mapping: drafted, published, archived; and back to what was published before.

Numbers rise. Of the versions of a type that were ever published the newest is the published one or, where the type has
none any more, archived. To go back is to publish the older content under the next number, so a number stands for one
content and one time for good, and a job that ran with it shows what it ran with.

Locks, in this order: customers by number, then their mappings. An import is accepted under the lock of its customer, so
it runs with the versions from before a publication or from after it. All raise Refusal (not_found, wrong_state).
"""

from datetime import datetime
from typing import Final

from django.db.models import Max

from audit.clock import database_now
from audit.context import current_context
from audit.detail import DetailValue
from audit.trail import audited, record
from customers.models import Customer
from imports import checking
from imports.mapping import definition
from imports.mapping.compiled import compile_mapping
from imports.mapping.mistake import Mistake, UnfitMapping
from imports.mapping_rows import define, fill
from imports.models import FieldMapping, Mapping
from imports.refusal import Refusal

MAX_CODE_LENGTH: Final = 50
MAX_MESSAGE_LENGTH: Final = 300
MAX_NOTE_LENGTH: Final = 200

_TAKEN: Final = frozenset({*checking.CODES, *checking.STORE_CODES})
_PUBLISHED_ONCE: Final = (Mapping.State.PUBLISHED, Mapping.State.ARCHIVED)


def find(customer: Customer, record_type: str, number: int) -> Mapping:
    version = Mapping.objects.filter(customer=customer, record_type=record_type, version=number).first()
    if version is None:
        raise Refusal("not_found", f"{customer.slug} has no version {number} of a mapping for {record_type}.")
    return version


def published(customer: Customer, record_type: str) -> Mapping | None:
    found = Mapping.objects.filter(customer=customer, record_type=record_type, state=Mapping.State.PUBLISHED)
    return found.first()


def newest(customer: Customer, record_type: str) -> Mapping | None:
    """Of whatever state."""
    return Mapping.objects.filter(customer=customer, record_type=record_type).order_by("-version").first()


def check(meant: definition.Mapping) -> None:
    """Raises UnfitMapping with everything that stands in the way of publishing it."""
    mistakes = list(_beyond_the_engine(meant))
    try:
        compile_mapping(meant)
    except UnfitMapping as unfit:
        mistakes = unfit.mistakes + mistakes
    if mistakes:
        raise UnfitMapping(mistakes)


def draft(customer: Customer, meant: definition.Mapping, *, note: str = "", based_on: int | None = None) -> Mapping:
    """A new version, which nothing runs with. It need not be fit to be published. Raises UnfitMapping for what no row
    can hold."""
    with audited():
        _lock(customer)
        version = _add(customer, meant, note=note, based_on=based_on)
        _note("mapping.drafted", version)
    return version


def draft_from(customer: Customer, record_type: str, number: int, *, note: str = "") -> Mapping:
    """A new draft that says what another version says, of whatever state."""
    return draft(customer, define(find(customer, record_type, number)), note=note, based_on=number)


def change(version: Mapping, meant: definition.Mapping) -> Mapping:
    """The draft, which now says this."""
    with audited():
        changed = _lock_draft(version)
        if meant.type != changed.record_type:
            raise Refusal("wrong_state", f"This is a draft for {changed.record_type}, not for {meant.type}.")
        FieldMapping.objects.filter(mapping=changed).delete()
        _save(changed, meant)
        _note("mapping.changed", changed)
    return changed


def discard(version: Mapping) -> None:
    """The draft is gone. Its number comes again: nothing ever ran with it."""
    with audited():
        discarded = _lock_draft(version)
        _note("mapping.discarded", discarded)
        discarded.delete()


def publish(version: Mapping) -> Mapping:
    """Imports accepted from now on run with it, and the one published until now is archived. Raises UnfitMapping."""
    with audited():
        draft = _lock_draft(version)
        return _publish(draft, "mapping.published")


def roll_back(customer: Customer, record_type: str, *, to: int | None = None) -> Mapping:
    """Publishes what version `to` says under the next number; without `to` what was published before the newest."""
    with audited():
        _lock(customer)
        older = _published_before(customer, record_type) if to is None else find(customer, record_type, to)
        if older.state == Mapping.State.DRAFT:
            raise Refusal("wrong_state", f"Version {older.version} is a draft: publish it.")
        if older.state == Mapping.State.PUBLISHED:
            raise Refusal("wrong_state", f"Version {older.version} is the published one.")
        version = _add(customer, define(older), note=f"as version {older.version}", based_on=older.version)
        return _publish(version, "mapping.rolled_back", restores=older.version)


def archive(customer: Customer, record_type: str) -> Mapping:
    """The type has no mapping any more: imports accepted from now on store its records as they come."""
    with audited():
        _lock(customer)
        current = published(customer, record_type)
        if current is None:
            raise Refusal("wrong_state", f"{customer.slug} has no published mapping for {record_type}.")
        _archive(current, database_now())
        _note("mapping.archived", current)
    return current


def _lock(customer: Customer) -> None:
    Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)


def _lock_draft(version: Mapping) -> Mapping:
    """The draft as it is now. Its customer is locked first."""
    _lock(version.customer)
    draft = Mapping.objects.select_for_update(no_key=True, of=("self",)).select_related("customer")
    found = draft.filter(pk=version.pk).first()
    if found is None:
        raise Refusal("not_found", f"Version {version.version} was discarded.")
    if found.state != Mapping.State.DRAFT:
        raise Refusal("wrong_state", f"Version {found.version} is {found.state}; only drafts change.")
    return found


def _add(customer: Customer, meant: definition.Mapping, *, note: str, based_on: int | None) -> Mapping:
    """With the customer's row locked."""
    last = Mapping.objects.filter(customer=customer, record_type=meant.type).aggregate(last=Max("version"))["last"]
    version = Mapping(
        customer=customer,
        version=(last or 0) + 1,
        note=note[:MAX_NOTE_LENGTH],
        based_on=based_on,
        created_at=database_now(),
        created_by=_actor(),
    )
    _save(version, meant)
    return version


def _save(version: Mapping, meant: definition.Mapping) -> None:
    fields = fill(version, meant)
    version.save()
    FieldMapping.objects.bulk_create(fields)


def _publish(draft: Mapping, action: str, **detail: int) -> Mapping:
    """With the customer's row locked."""
    check(define(draft))
    later = Mapping.objects.filter(
        customer_id=draft.customer_id,
        record_type=draft.record_type,
        version__gt=draft.version,
        state__in=_PUBLISHED_ONCE,
    )
    if later.exists():
        raise Refusal(
            "wrong_state",
            f"A version after {draft.version} has been published. Look at what it changed, then draft yours again.",
        )
    now = database_now()
    current = published(draft.customer, draft.record_type)
    if current is not None:
        _archive(current, now)
        detail["replaces"] = current.version
    draft.state, draft.published_at, draft.published_by = Mapping.State.PUBLISHED, now, _actor()
    draft.save(update_fields=["state", "published_at", "published_by"])
    _note(action, draft, **detail)
    return draft


def _archive(current: Mapping, now: datetime) -> None:
    current.state, current.archived_at, current.archived_by = Mapping.State.ARCHIVED, now, _actor()
    current.save(update_fields=["state", "archived_at", "archived_by"])


def _published_before(customer: Customer, record_type: str) -> Mapping:
    once = Mapping.objects.filter(customer=customer, record_type=record_type, state__in=_PUBLISHED_ONCE)
    newest_two = list(once.order_by("-version")[:2])
    if newest_two and newest_two[0].state == Mapping.State.ARCHIVED:
        return newest_two[0]
    if len(newest_two) < 2:
        raise Refusal("wrong_state", f"No version was published for {record_type} before this one.")
    return newest_two[1]


def _beyond_the_engine(meant: definition.Mapping) -> list[Mistake]:
    """What failed records and their rows ask of a rule, beside what the engine does."""
    mistakes = []
    for index, rule in enumerate(meant.rules):
        if rule.code in _TAKEN:
            mistakes.append(Mistake(f"rules[{index}].code", "this code has a meaning already; choose another"))
        if len(rule.code) > MAX_CODE_LENGTH:
            mistakes.append(Mistake(f"rules[{index}].code", f"a code has at most {MAX_CODE_LENGTH} characters"))
        if len(rule.message) > MAX_MESSAGE_LENGTH:
            mistakes.append(Mistake(f"rules[{index}].message", f"at most {MAX_MESSAGE_LENGTH} characters"))
    return mistakes


def _actor() -> str:
    actor = current_context().actor
    if actor is None:
        raise RuntimeError("Nobody acts here: wrap the entry point in `with acting_as(Actor(kind, id)):`.")
    return f"{actor.kind}:{actor.id}"


def _note(action: str, version: Mapping, **detail: DetailValue) -> None:
    record(
        action,
        target=f"mapping:{version.customer.slug}/{version.record_type}/{version.version}",
        customer_id=version.customer_id,
        detail={"fields": version.fields.count(), **detail},
    )
