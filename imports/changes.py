"""What a dry run would change, record by record, measured against what is stored when it is asked.

The answer holds the records that would be created or updated, in input order. Those that would stay as they are, are
superseded or failed are not among them: the counts and the other results tell of those.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct

from customers.keyring import Keyring, keyring
from imports import batching, checking, mappers, results
from imports.intake import payload_row
from imports.models import ImportBatch, ImportJob
from imports.outcome import Outcome
from imports.processing import sort_out
from imports.record_difference import Change, all_of, changes_between
from imports.refusal import Refusal
from imports.stored import differing_payloads, differing_sizes
from imports.storing import Incoming, record_row

# What is stored of 5,000 records may be far larger than what was sent of them. So much of both is held at a time.
PIECE_BYTES: Final = 8 * 1024 * 1024

_COLUMNS: Final = ("index", "record", "type", "outcome", "pointer", "before", "after")
_LEFT_OUT: Final = frozenset({Outcome.FAILED.byte, Outcome.SUPERSEDED.byte})

_encode = msgspec.json.encode


class ChangedRecord(Struct, frozen=True):
    """One line. `changes` of a created record is one, at the pointer "", whose `after` is all of it."""

    index: int
    record: str
    type: str
    outcome: str
    changes: list[Change]


def batches_of(job: ImportJob) -> list[int]:
    """Ids of the batches to ask for, in input order. Raises Refusal where the job is no dry run that has ended, or has
    expired."""
    if job.kind != ImportJob.Kind.DRY_RUN:
        raise Refusal("wrong_state", "Only a dry run has changes to look at; this is an import.")
    if not job.is_finished:
        raise Refusal("wrong_state", "What would change is known when the dry run has ended.")
    return results.batches_of(job, "succeeded")


def pieces_of(job: ImportJob, batch_id: int) -> Iterator[list[ChangedRecord]]:
    """The lines of one batch in pieces that fit into memory, each read in transactions of its own."""
    keys = keyring(job.customer_id)
    batch = ImportBatch.objects.get(pk=batch_id)
    packed = keys.opener("imports_importbatch", "payload").open(
        bytes(batch.payload or b""), payload_row(job.uuid, batch.sequence)
    )
    plain: dict[int, bytes] = {}
    sorted_out = sort_out(
        batching.unpack(packed),
        # What failed in the dry run is not even read: it may have been what ended its worker.
        superseded=frozenset(at for at, byte in enumerate(bytes(batch.outcomes or b"")) if byte in _LEFT_OUT),
        first_index=batch.first_index,
        keys=keys,
        mappers=mappers.pinned(job),
        seal=False,
        plain=plain,
    )
    del packed
    return changed(sorted_out.incoming, plain, keys=keys)


def changed(records: Sequence[Incoming], plain: dict[int, bytes], *, keys: Keyring) -> Iterator[list[ChangedRecord]]:
    """Of checked records of one customer, whose canonical forms `plain` holds by position: those that would change."""
    sizes = differing_sizes(records, customer_id=keys.customer_id)
    piece: list[Incoming] = []
    held = 0
    for record in sorted(records):
        if record.position not in sizes:
            continue
        piece.append(record)
        held += sizes[record.position] + len(plain[record.position])
        if held >= PIECE_BYTES:
            yield _compare(piece, plain, keys)
            piece, held = [], 0
    if piece:
        yield _compare(piece, plain, keys)


def _compare(piece: Sequence[Incoming], plain: dict[int, bytes], keys: Keyring) -> list[ChangedRecord]:
    """What became the same since its size was asked for is left out."""
    stored = differing_payloads(piece, customer_id=keys.customer_id)
    opener = keys.opener("imports_record", "payload")
    lines = []
    for record in piece:
        if record.position not in stored:
            continue
        after, payload = plain[record.position], stored[record.position]
        if payload is None:
            outcome, changes = Outcome.CREATED, all_of(after)
        else:
            before = opener.open(payload, record_row(record.type, record.key))
            outcome, changes = Outcome.UPDATED, changes_between(before, after)
        lines.append(
            ChangedRecord(record.position, checking.identity(after)[0] or "", record.type, outcome.label, changes)
        )
    return lines


def as_ndjson(lines: Sequence[ChangedRecord]) -> bytes:
    """One JSON object a line; numbers with the digits they are stored with."""
    return b"".join(_encode(line) + b"\n" for line in lines)


def csv_header() -> bytes:
    return (",".join(_COLUMNS) + "\r\n").encode()


def as_csv(lines: Sequence[ChangedRecord]) -> bytes:
    """RFC 4180, a row a change. `before` and `after` are JSON, so that text, a number, null and nothing differ."""
    text = io.StringIO()
    writer = csv.writer(text)
    for line in lines:
        for change in line.changes:
            writer.writerow(
                [
                    line.index,
                    results.safe_cell(line.record),
                    line.type,
                    line.outcome,
                    change.pointer,
                    *(_json_cell(value) for value in (change.before, change.after)),
                ]
            )
    return text.getvalue().encode()


def _json_cell(value: Any) -> str:
    """JSON begins with nothing that a spreadsheet runs, but for a minus and then digits alone."""
    return "" if value is UNSET else _encode(value).decode()
