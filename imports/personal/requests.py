"""What somebody asks about one person's data: to find it, to hand it out, to erase it. Each is recorded, by a random
number and counts: neither the id nor what it is indexed by stands in the trail."""

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from audit.clock import database_now
from audit.trail import audited, record
from customers.models import Customer
from imports.personal.document import document
from imports.personal.erasing import PATIENCE_SECONDS, Erasure
from imports.personal.search import PLACES, Found, Place, Search, by_place, kept_records
from imports.personal.subject import UNKNOWN, Subject
from imports.refusal import Refusal

# Some seconds of looking, and of waiting for a worker.
MOST_AT_ONCE: Final = 2_000_000
MOST_CONTENTS: Final = 10_000
PATIENCE_OF_A_CALL_SECONDS: Final = 10.0

Step = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """`request` is the number that the trail knows it by. `unreadable` ciphertexts did not open: the answer may lack
    something. `content` is what an export hands out."""

    request: uuid.UUID
    counts: dict[str, int]
    types: list[str]
    jobs: dict[str, int]
    unreadable: int
    content: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def find(subject: Subject, *, step: Step = lambda done, total: None) -> Answer:
    """How much there is at each place, of which types and from which imports."""
    search = Search(subject, step=step)
    counts: Counter[Place] = Counter()
    types: set[str] = set()
    jobs: Counter[str] = Counter()
    for content in search.run():
        counts[content.place] += 1
        if content.tie == "own":
            types.add(content.type or UNKNOWN)
        jobs[str(content.job.uuid)] += 1
    return _answered("personal_data.found", search, counts, types=sorted(types), jobs=dict(jobs))


def export(subject: Subject, *, step: Step = lambda done, total: None, most: int | None = None) -> Answer:
    """All of it as one document. Raises Refusal (too_much_to_search) where that would hold more than `most`."""
    search = Search(subject, step=step)
    slug = Customer.objects.values_list("slug", flat=True).get(pk=subject.customer_id)
    content = document(subject, _at_most(most, search.run()), customer=slug, at=database_now())
    counts: Counter[Place] = Counter(dict(zip(PLACES, content["counts"].values(), strict=True)))
    return _answered("personal_data.exported", search, counts, content=content)


def erase(subject: Subject, *, step: Step = lambda done, total: None, patience: float = PATIENCE_SECONDS) -> Answer:
    """All of it is gone that was accepted until now, from this database.

    Raises StillHeldError where somebody holds a part for longer than `patience` seconds: then ask again.
    """
    erasure = Erasure(uuid.uuid4(), Search(subject, step=step), patience)
    erasure.run()
    return Answer(erasure.request, by_place(erasure.counts), [], {}, len(erasure.search.unreadable))


def export_at_once(subject: Subject) -> Answer:
    """As export, for a caller who waits. Raises Refusal (too_much_to_search)."""
    _refuse_beyond_limit(subject)
    return export(subject, most=MOST_CONTENTS)


def erase_at_once(subject: Subject) -> Answer:
    """As erase, for a caller who waits. Raises Refusal (too_much_to_search) and StillHeldError."""
    _refuse_beyond_limit(subject)
    return erase(subject, patience=PATIENCE_OF_A_CALL_SECONDS)


def _refuse_beyond_limit(subject: Subject) -> None:
    kept = kept_records(subject.customer_id)
    if kept > MOST_AT_ONCE:
        raise Refusal(
            "too_much_to_search",
            f"{kept:,} records are kept as they were sent, and a call looks through {MOST_AT_ONCE:,} at most; "
            "ask the operator, who has manage.py personal_data.",
        )


def _at_most(most: int | None, found: Iterator[Found]) -> Iterator[Found]:
    for number, content in enumerate(found, 1):
        if most is not None and number > most:
            raise Refusal(
                "too_much_to_search",
                f"More than {most:,} contents are kept under this id; ask the operator, who has manage.py "
                "personal_data.",
            )
        yield content


def _answered(action: str, search: Search, counts: Counter[Place], **more: Any) -> Answer:
    request = uuid.uuid4()
    with audited():
        record(
            action,
            target=f"personal_data:{request}",
            customer_id=search.subject.customer_id,
            record_count=counts.total(),
            detail={**by_place(counts), "unreadable": len(search.unreadable)},
        )
    settled: dict[str, Any] = {"types": [], "jobs": {}, **more}
    return Answer(request, by_place(counts), unreadable=len(search.unreadable), **settled)
