"""Jobs, batches, stored records and failures as the ledger keeps them."""

from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final

from tests.imports.life.items import Item

TRIES: Final = 3

PENDING, DONE, DROPPED = "pending", "done", "dropped"
IMPORT, DRY_RUN, EDIT = "import", "dry_run", "edit"
NO, DUE, LATER = "no", "due", "later"

Origin = tuple[int, int]
Body = tuple[Item, ...]


class Named:
    """In the steps that hypothesis prints it stands as its name."""

    __slots__ = ()

    def _repr_pretty_(self, printer: Any, is_cycle: bool) -> None:
        printer.text(repr(self))


@dataclass(slots=True, repr=False, eq=False)
class Batch(Named):
    """`ends` are its attempts, "" for one that was killed. `is_held`: a worker stands still in the middle of it."""

    job: "Job"
    sequence: int
    first: int
    items: Body
    superseded: tuple[int, ...]
    state: str = PENDING
    outcomes: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    is_held: bool = False

    def __repr__(self) -> str:
        return f"batch {self.sequence} of {self.job}"

    @property
    def is_ready(self) -> bool:
        return self.state == PENDING and not (self.is_held or self.job.is_open or self.job.is_cancelled)

    @property
    def is_to_be_taken_apart(self) -> bool:
        return self.ends.count("") >= TRIES

    def stores_something(self, *, is_limit_low: bool) -> bool:
        """Whether its work writes ciphertext: a dry run does so only for records that fail."""
        return self.job.kind == IMPORT or any(
            offset not in self.superseded and item.refusal(is_limit_low=is_limit_low)
            for offset, item in enumerate(self.items)
        )


@dataclass(slots=True, repr=False, eq=False)
class Job(Named):
    """`number` counts the customer's jobs, edits included, in the order in which they were accepted."""

    number: int
    kind: str
    batches: list[Batch] = field(default_factory=list)
    parts: dict[int, Body] = field(default_factory=dict)
    announced: int | None = None
    is_open: bool = False
    is_begun: bool = False
    is_cancelled: bool = False
    reason: str = ""

    def __repr__(self) -> str:
        return f"{self.kind} {self.number}"

    @property
    def is_finished(self) -> bool:
        return not self.is_open and all(batch.state != PENDING for batch in self.batches)

    @property
    def status(self) -> str:
        if self.is_finished:
            return "failed" if self.is_cancelled else "completed"
        return "processing" if self.is_begun else "pending"

    def arrange(self) -> None:
        """The records of all parts in the order of the parts."""
        self.batches.sort(key=lambda batch: batch.sequence)
        for batch, first in zip(
            self.batches, accumulate((len(batch.items) for batch in self.batches), initial=0), strict=False
        ):
            batch.first = first

    def drop(self) -> None:
        """What nobody has begun is never processed."""
        for batch in self.batches:
            if batch.state == PENDING and not batch.is_held:
                batch.state = DROPPED


@dataclass(slots=True)
class Stored:
    item: Item
    origin: Origin
    changed: Origin


@dataclass(slots=True, repr=False, eq=False)
class Failure(Named):
    batch: Batch
    index: int
    item: Item
    code: str
    state: str = "open"
    wait: str = NO
    attempts: int = 1
    tries: int = 0
    edited: Item | None = None
    edit_number: int | None = None
    resolved_by: int | None = None

    def __repr__(self) -> str:
        return f"{self.state} record {self.index} of {self.job}"

    @property
    def job(self) -> Job:
        return self.batch.job

    @property
    def key(self) -> str | None:
        return self.current.key

    @property
    def current(self) -> Item:
        return self.edited or self.item

    @property
    def origin_number(self) -> int:
        return self.edit_number or self.job.number

    @property
    def is_unresolved(self) -> bool:
        return self.state in ("open", "retrying")

    @property
    def is_due(self) -> bool:
        return self.is_unresolved and self.wait == DUE

    def resolve(self, outcome: str, *, by: int) -> None:
        self.state, self.wait, self.resolved_by = "resolved", NO, by
        self.batch.outcomes[self.index - self.batch.first] = outcome

    def hand_out(self) -> None:
        self.state, self.tries, self.wait = "retrying", 0, DUE
