"""Mappings as files that people keep beside their code: what applying one would do, and doing just that."""

from typing import Literal

from django.db.models import QuerySet
from msgspec import Struct

from audit.trail import audited
from customers.models import Customer
from imports import mapping_versions
from imports.mapping import definition, document
from imports.mapping.difference import Difference, difference
from imports.mapping.mistake import Mistake, UnfitMapping
from imports.mapping_rows import define, is_same
from imports.models import Mapping
from imports.refusal import Refusal

Action = Literal["unchanged", "publish", "create", "draft"]


class Step(Struct, frozen=True):
    """What becomes of one mapping of a file.

    publish: the draft `version` says the same already. create: `version` is new and published. draft: it is new and
    stays a draft. `replaces` is the published version, which `difference` is against; None where there is none.
    """

    customer: str
    type: str
    action: Action
    version: int
    replaces: int | None
    difference: Difference | None


def plan(text: str, *, customer: str | None = None, as_draft: bool = False) -> list[Step]:
    """What apply() would do at this moment, in the order of the file. Raises as apply() does; nothing is written."""
    return [_step(owner, meant, as_draft=as_draft) for owner, meant in _read(text, customer, as_draft=as_draft)]


def apply(text: str, *, customer: str | None = None, as_draft: bool = False) -> list[Step]:
    """Every mapping of the file is published, or drafted, or none is; what is so already is left as it is.

    `customer` is whose mappings those are that name none. Raises UnfitMapping with every mistake in the file, Refusal
    (not_found) for a customer that does not exist.
    """
    meant_by = _read(text, customer, as_draft=as_draft)
    with audited():
        _lock(Customer.objects.filter(pk__in=[owner.pk for owner, _ in meant_by]))
        steps = []
        for owner, meant in meant_by:
            step = _step(owner, meant, as_draft=as_draft)
            steps.append(step)
            if step.action in ("create", "draft"):
                version = mapping_versions.draft(owner, meant)
            elif step.action == "publish":
                version = mapping_versions.find(owner, step.type, step.version)
            if step.action in ("create", "publish"):
                mapping_versions.publish(version)
    return steps


def export(versions: QuerySet[Mapping]) -> str:
    """A file that applied as it is changes nothing; for published versions, in the order of customer and type."""
    chosen = versions.select_related("customer").prefetch_related("fields").order_by("customer__slug", "record_type")
    return document.dump([(version.customer.slug, define(version)) for version in chosen])


def _lock(customers: QuerySet[Customer]) -> None:
    list(customers.select_for_update(no_key=True).order_by("pk"))


def _step(owner: Customer, meant: definition.Mapping, *, as_draft: bool) -> Step:
    current = mapping_versions.published(owner, meant.type)
    newest = mapping_versions.newest(owner, meant.type)
    published = None if current is None else define(current)
    action: Action = "draft" if as_draft else "create"
    number = (newest.version if newest else 0) + 1
    if newest is not None and newest.state == Mapping.State.DRAFT and is_same(define(newest), meant):
        action, number = "unchanged" if as_draft else "publish", newest.version
    if current is not None and published is not None and is_same(published, meant):
        action, number = "unchanged", current.version
    return Step(
        owner.slug,
        meant.type,
        action,
        number,
        None if current is None else current.version,
        None if published is None else difference(published, meant),
    )


def _read(text: str, customer: str | None, *, as_draft: bool) -> list[tuple[Customer, definition.Mapping]]:
    """Whose each mapping is; all of them fit to be published, unless they are only to be drafted."""
    read: list[tuple[Customer, definition.Mapping]] = []
    mistakes: list[Mistake] = []
    for index, (slug, meant) in enumerate(document.load(text)):
        place = f"mappings[{index}]"
        owner = _owner(slug, customer, place, mistakes)
        if owner is None:
            continue
        if any((owner.pk, meant.type) == (other.pk, known.type) for other, known in read):
            mistakes.append(Mistake(place, f"the file has another mapping for {meant.type} of {owner.slug}"))
        read.append((owner, meant))
        if not as_draft:
            try:
                mapping_versions.check(meant)
            except UnfitMapping as unfit:
                mistakes += [Mistake(f"{place}.{mistake.place}", mistake.message) for mistake in unfit.mistakes]
    if mistakes:
        raise UnfitMapping(mistakes)
    return read


def _owner(slug: str | None, customer: str | None, place: str, mistakes: list[Mistake]) -> Customer | None:
    if slug is not None and customer is not None and slug != customer:
        mistakes.append(Mistake(f"{place}.customer", f"this is a mapping of {slug}, not of {customer}"))
        return None
    name = slug or customer
    if name is None:
        mistakes.append(Mistake(f"{place}.customer", "whose mapping it is: name it here, or with --customer"))
        return None
    return find_customer(name)


def find_customer(slug: str) -> Customer:
    """Raises Refusal (not_found)."""
    found = Customer.objects.filter(slug=slug).first()
    if found is None:
        raise Refusal("not_found", f"There is no customer {slug!r}. The admin lists them by short name.")
    return found
