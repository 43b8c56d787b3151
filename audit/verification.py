"""Reading the chain from end to end and saying where it is broken first."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from django.db import DataError, transaction

from audit.chain import GENESIS, Entry, link
from audit.models import AuditEvent, AuditHead

CHUNK = 2_000
_COLUMNS = ("sequence", "previous_hash", "hash", *Entry.__slots__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A place the chain is known to have passed: an event's sequence and hash, noted down outside the
    database.
    """

    sequence: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Verification:
    """`count` events hold; `first_bad` is the first that does not, with `reason` as a sentence, or None.

    `last` is the last event that holds: keep it elsewhere and hand it in again as a checkpoint.
    """

    count: int
    first_bad: int | None
    reason: str
    last: Checkpoint


class _BreakError(Exception):
    def __init__(self, sequence: int, reason: str) -> None:
        super().__init__(reason)
        self.sequence = sequence
        self.reason = reason


def verify_chain(*, start: int = 1, checkpoint: Checkpoint | None = None) -> Verification:
    """Check every event from `start` on, its hash and its link, and the head; streamed, with writers at work.

    Events before `start` are believed. `checkpoint` must lie on the chain, which finds a chain that was
    rewritten as a whole: its hashes agree among themselves, but not with what was noted down before. Raises
    ValueError where `start` is below 1, or leaves the checkpoint out of what is read.
    """
    if start < 1:
        raise ValueError("The first event has the number 1.")
    if checkpoint and checkpoint.sequence < start - 1:
        raise ValueError(f"Begin at {checkpoint.sequence + 1} or before, so that the checkpoint is checked too.")
    reading = _Reading(start=start, checkpoint=checkpoint)
    try:
        reading.run()
    except _BreakError as broken:
        return Verification(reading.count, broken.sequence, broken.reason, reading.last)
    return Verification(reading.count, None, "", reading.last)


class _Reading:
    def __init__(self, *, start: int, checkpoint: Checkpoint | None) -> None:
        self.start = start
        self.checkpoint = checkpoint
        self.count = 0
        self.last = Checkpoint(0, GENESIS)

    def run(self) -> None:
        # The head before must be on the chain; no event may lie beyond the head after. What writers add
        # meanwhile lies between the two, so no snapshot needs to be held over a long reading.
        before = _head()
        if self.start > before.sequence + 1:
            raise _BreakError(self.start, f"There is no such event: the chain ends at {before.sequence}.")
        self.last = self._believed()
        self._check_known(before)
        with closing(_rows(self.start)) as rows:
            for row in rows:
                self._check(row)
                self._check_known(before)
        expected = max(before.sequence, self.checkpoint.sequence if self.checkpoint else 0)
        if self.last.sequence < expected:
            reason = f"The chain ends before it, but it has reached {expected}: the tail is missing."
            raise _BreakError(self.last.sequence + 1, reason)
        after = _head()
        if self.last.sequence > after.sequence:
            raise _BreakError(after.sequence + 1, f"It lies beyond the head, which is at {after.sequence}.")

    def _believed(self) -> Checkpoint:
        """What the first event to check must continue."""
        if self.start == 1:
            return Checkpoint(0, GENESIS)
        known = AuditEvent.objects.filter(sequence=self.start - 1).values_list("hash", flat=True).first()
        if known is None:
            raise _BreakError(self.start - 1, "It is missing.")
        return Checkpoint(self.start - 1, bytes(known))

    def _check(self, row: tuple[Any, ...]) -> None:
        sequence, previous_hash, stored_hash, *content = row
        if sequence != self.last.sequence + 1:
            raise _BreakError(self.last.sequence + 1, f"It is missing: the next event is {sequence}.")
        try:
            computed = link(Entry(*content), sequence=sequence, previous_hash=bytes(previous_hash))
        except (ValueError, OverflowError, TypeError):  # an edit left a value that no event can hold
            computed = b""
        if computed != stored_hash:
            raise _BreakError(sequence, "Its content does not match its hash: the row was edited.")
        if previous_hash != self.last.hash:
            raise _BreakError(sequence, "It does not continue the event before it.")
        self.count += 1
        self.last = Checkpoint(sequence, bytes(stored_hash))

    def _check_known(self, head: Checkpoint) -> None:
        for known, name in ((head, "head"), (self.checkpoint, "checkpoint")):
            if known and known.sequence == self.last.sequence and known.hash != self.last.hash:
                raise _BreakError(known.sequence, f"Its hash is not the one that the {name} holds.")


def _rows(start: int) -> Generator[tuple[Any, ...], None, None]:
    """The rows from `start` on, by a server-side cursor.

    A timestamp edited out of Python's range spoils its whole chunk: then the rows are asked for one by one.
    """
    rows = AuditEvent.objects.filter(sequence__gte=start).order_by("sequence").values_list(*_COLUMNS)
    following = start
    try:
        with transaction.atomic():
            for row in rows.iterator(chunk_size=CHUNK):
                yield row
                following = row[0] + 1
    except DataError:
        yield from _rows_one_by_one(following)


def _rows_one_by_one(start: int) -> Generator[tuple[Any, ...], None, None]:
    for sequence in range(start, start + CHUNK):
        try:
            with transaction.atomic():
                row = AuditEvent.objects.filter(sequence=sequence).values_list(*_COLUMNS).first()
        except DataError as err:
            raise _BreakError(sequence, "It holds a value that cannot be read: the row was edited.") from err
        if row:
            yield row


def _head() -> Checkpoint:
    head = AuditHead.objects.filter(id=AuditHead.ONLY).first()
    if head is None:
        raise _BreakError(1, "The head row is missing.")
    return Checkpoint(head.sequence, bytes(head.hash))
