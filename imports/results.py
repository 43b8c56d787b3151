"""What became of each record, in input order, read batch by batch so that any job streams in little memory."""

import csv
import io
from collections.abc import Iterator
from typing import Any, Final, Literal, get_args

import msgspec
from msgspec import Raw

from audit.clock import database_now
from customers.keyring import Keyring, keyring
from imports import batching, checking, retention
from imports.failures import open_failures
from imports.intake import payload_row
from imports.models import FailedRecord, ImportBatch, ImportJob
from imports.outcome import BY_BYTE, Outcome
from imports.refusal import Refusal
from imports.status import current_states

Selection = Literal["succeeded", "failed", "unprocessed"]
SELECTIONS: Final[tuple[Selection, ...]] = get_args(Selection)

ERASED: Final = "erased"
_COLUMNS: Final = ("index", "record", "type", "outcome", "code", "pointer", "message", "data", "target")
# A spreadsheet runs a cell that begins so as a formula (OWASP, CSV injection); an apostrophe makes it text.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")

_encode = msgspec.json.encode
Line = dict[str, Any]


def batches_of(job: ImportJob, selection: Selection) -> list[int]:
    """Ids of the batches that hold lines of this selection, in order. Raises Refusal where the results have expired."""
    states = (
        [ImportBatch.State.PENDING, ImportBatch.State.DROPPED]
        if selection == "unprocessed"
        else [ImportBatch.State.DONE]
    )
    batches = ImportBatch.objects.filter(job=job, state__in=states)
    if retention.is_over(job, database_now()) or batches.filter(payload__isnull=True).exists():
        raise Refusal("results_expired", "The results of this import have been removed; its counts remain.")
    if selection == "unprocessed" and not job.is_finished:
        raise Refusal("wrong_state", "What is unprocessed is known when the import has ended.")
    return list(batches.order_by("first_index", "sequence").values_list("pk", flat=True))


def lines(job: ImportJob, batch_id: int, selection: Selection) -> Iterator[Line]:
    """The lines of one batch, as docs/callers.md lists them; `data` is the record as sent where it was not stored.

    One that has been erased keeps its line and its outcome, and has neither id nor type nor data.
    """
    keys = keyring(job.customer_id)
    batch = ImportBatch.objects.get(pk=batch_id)
    packed = keys.opener("imports_importbatch", "payload").open(
        bytes(batch.payload or b""), payload_row(job.uuid, batch.sequence)
    )
    raws = batching.unpack(packed)
    if selection == "unprocessed":
        return (_unprocessed(batch.first_index + offset, raw) for offset, raw in enumerate(raws))
    if selection == "failed":
        return _failed(job, batch, keys)
    return _succeeded(batch, raws)


def as_ndjson(lines_of_batch: Iterator[Line]) -> bytes:
    """One JSON object a line."""
    return b"".join(_encode(line) + b"\n" for line in lines_of_batch)


def csv_header() -> bytes:
    return (",".join(_COLUMNS) + "\r\n").encode()


def as_csv(lines_of_batch: Iterator[Line]) -> bytes:
    """RFC 4180 rows without a header; cells that a spreadsheet would run are defused."""
    text = io.StringIO()
    writer = csv.writer(text)
    for line in lines_of_batch:
        writer.writerow([safe_cell(line.get(column)) for column in _COLUMNS])
    return text.getvalue().encode()


def safe_cell(value: Any) -> Any:
    """A cell of a CSV file; what a spreadsheet would run is defused."""
    if isinstance(value, Raw):
        value = bytes(value).decode()
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return "'" + value
    return "" if value is None else value


def _succeeded(batch: ImportBatch, raws: list[bytes]) -> Iterator[Line]:
    for offset, (raw, byte) in enumerate(zip(raws, bytes(batch.outcomes or b""), strict=True)):
        outcome = BY_BYTE[byte]
        if outcome is not Outcome.FAILED:
            external_id, record_type = checking.identity(raw)
            yield _line(batch.first_index + offset, external_id, record_type, outcome.label) | _erased(raw)


def _failed(job: ImportJob, batch: ImportBatch, keys: Keyring) -> Iterator[Line]:
    failures = FailedRecord.objects.filter(
        job=job,
        index__gte=batch.first_index,
        index__lt=batch.first_index + batch.record_count,
        state__in=current_states(job),
    ).order_by("index")
    for failure in open_failures(job, failures.iterator(chunk_size=1000), keys):
        external_id, record_type = checking.identity(failure.raw)
        first = failure.problems[0]
        yield {
            **_line(failure.index, external_id, record_type, Outcome.FAILED.label),
            "code": first.code,
            "pointer": first.pointer,
            "message": first.message,
            **({"target": first.target} if first.mapping_stage else {}),
            "data": as_sent(failure.raw),
        }


def _unprocessed(index: int, raw: bytes) -> Line:
    external_id, record_type = checking.identity(raw)
    return {**_line(index, external_id, record_type, "unprocessed"), **_erased(raw), "data": as_sent(bytes(raw))}


def _erased(raw: bytes) -> Line:
    return {} if raw else {"code": ERASED, "message": "What was sent here has been erased on request."}


def _line(index: int, external_id: str | None, record_type: str, outcome: str) -> Line:
    return {
        "index": index,
        "record": external_id,
        "type": record_type or None,
        "outcome": outcome,
        "code": None,
        "pointer": None,
        "message": None,
    }


def as_sent(raw: bytes) -> Raw | str | None:
    """The record to the byte where it is JSON; a line that is not JSON at all comes as a string.

    None for one whose content has been removed, of which no byte is left: no record that is sent is empty.
    """
    if not raw:
        return None
    try:
        msgspec.json.decode(raw, type=Raw)
        text = raw.decode()
    except (ValueError, RecursionError):
        return raw.decode(errors="replace")
    # A line of NDJSON must stay one line; a line break in valid JSON is white space, since in strings it is escaped.
    return Raw(text.replace("\r", " ").replace("\n", " ").encode())
