"""One batch: open, check, map, protect, write, count. All of it commits at once, or none of it."""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from audit.clock import database_now
from audit.trail import audited
from customers.keyring import Keyring, keyring
from imports import (
    attempts,
    batching,
    checking,
    counting,
    failures,
    mappers,
    publishing,
    recounting,
    resolving,
    session,
    settling,
    storing,
    timeouts,
)
from imports.claiming import claim
from imports.confinement import begin_batch, is_asked_to_stop
from imports.failpoints import hit, watched
from imports.failures import Failure, store_failures
from imports.intake import payload_row
from imports.isolating import CannotSplit
from imports.json_document import Raws
from imports.mappers import Mapper
from imports.models import ImportBatch, ImportJob
from imports.outcome import Outcome
from imports.quality.tally import UNKNOWN, Tally
from imports.storing import Incoming

logger = logging.getLogger(__name__)


def process_next(*, worker: str) -> bool:
    """Works on one free batch; False where there is none to be had, or this process is to stop.

    Raises only what ends the worker (a lost database).
    """
    if is_asked_to_stop():
        return False
    batch: ImportBatch | None = None
    attempt: attempts.Attempt | None = None
    used = None
    try:
        with audited():
            used = session.current()
            batch = claim()
            if batch is None:
                return False
            begin_batch()
            hit("claimed")
            kills = attempts.kills_of(batch)
            if len(kills) >= settling.MAX_KILLS:
                settling.take_apart(batch, code=attempts.reason_of(kills))
                return True
            attempt = attempts.begin(batch, worker=worker)
            hit("attempt_noted")
            if attempt.start is not None:
                publishing.publish(batch.job_id, attempt.start.job_uuid, attempt.start.revision)
            process(batch)
            hit("counted")
        hit("committed")
    except MemoryError:
        # Over its limit: the work-horse ends, and its attempt never does, as if it had been killed.
        raise
    except CannotSplit as err:
        assert batch is not None  # noqa: S101 - only a claimed batch is taken apart
        settling.give_up(batch, err)
        return True
    except Exception as err:
        is_lost = session.is_lost(used)
        if attempt is not None and is_lost:
            attempts.end_lost(attempt)
        passing = timeouts.passing_reason(err)
        if is_lost or (attempt is None and passing is None):
            raise
        return _settle(err, passing, batch, attempt)
    attempts.end(attempt, attempts.DONE)
    hit("attempt_ended")
    return True


def _settle(err: Exception, passing: str | None, batch: ImportBatch | None, attempt: attempts.Attempt | None) -> bool:
    """After the rollback; whether it is worth looking for the next batch."""
    if batch is None:
        logger.warning("claim_failed cause=%s", passing)
        return False
    if attempt is None:
        # Its job's row, where the attempt is noted, is held by somebody.
        settling.put_off(batch, passing or "", timedelta(seconds=failures.DEFAULT_BASE_SECONDS))
        return True
    is_to_run_again = isinstance(err.__cause__, timeouts.CROSSED)
    attempts.end(attempt, attempts.AGAIN if is_to_run_again else passing or type(err).__name__)
    if is_to_run_again:
        logger.info("batch_again batch=%s cause=%s", batch.pk, type(err.__cause__).__name__)
    elif passing is not None:
        settling.settle_passing(passing, batch)
    else:
        settling.settle(err, batch)
    return True


def process(batch: ImportBatch) -> None:
    """Does the batch's work in the surrounding transaction, whose commit makes it done."""
    job = ImportJob.objects.get(pk=batch.job_id)
    keys = keyring(batch.customer_id)
    now = database_now()
    packed = keys.opener("imports_importbatch", "payload").open(
        bytes(batch.payload or b""), payload_row(job.uuid, batch.sequence)
    )
    sorted_out = sort_out(
        batching.unpack(packed),
        superseded=frozenset(batch.superseded),
        first_index=batch.first_index,
        keys=keys,
        mappers=mappers.pinned(job),
        seal=job.kind == ImportJob.Kind.IMPORT,
    )
    older = None
    if job.kind == ImportJob.Kind.IMPORT:
        older = resolving.lock_older(sorted_out.incoming, job=job)
        stored = storing.store(sorted_out.incoming, job=job, data_key_id=sorted_out.data_key_id)
    else:
        stored = storing.compare(sorted_out.incoming, customer_id=job.customer_id)
    sorted_out.note(stored, first_index=batch.first_index)
    store_failures(sorted_out.failures, job=job, batch=batch, keys=keys, now=now)
    batch.state = ImportBatch.State.DONE
    batch.outcomes = bytes(sorted_out.outcomes)
    counted = sorted_out.count()
    batch.by_type = count_by_type(counted)
    batch.quality = sorted_out.tally.as_json(counted)
    batch.ended_at = now
    batch.save(update_fields=["state", "outcomes", "by_type", "quality", "ended_at"])
    if older is not None:
        recounting.move_counts(older.resolve(by=job.pk))
    counting.count_batch(job, batch.outcomes)


@dataclass(slots=True)
class SortedOut:
    """A batch after the checks: what goes in, what failed, and one outcome byte a record (0 where not yet known)."""

    outcomes: bytearray
    types: list[str]
    tally: Tally
    incoming: list[Incoming] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    data_key_id: int = 0

    def note(self, answer: storing.Answer, *, first_index: int) -> None:
        """Fills in what the table of records said."""
        for outcome, indexes in answer:
            byte = outcome.byte
            for index in indexes:
                self.outcomes[index - first_index] = byte

    def count(self) -> Counter[tuple[str, int]]:
        """Records by type ("" for none of ours) and outcome byte."""
        return Counter(zip(self.types, self.outcomes, strict=True))


def count_by_type(counted: Mapping[tuple[str, int], int]) -> dict[str, dict[str, int]]:
    """Records handled and failed by type; those without a known type stand under "unknown"."""
    counts: dict[str, dict[str, int]] = {}
    failed = Outcome.FAILED.byte
    for (record_type, outcome), count in counted.items():
        of_type = counts.setdefault(record_type or UNKNOWN, {"processed": 0, "failed": 0})
        of_type["processed"] += count
        if outcome == failed:
            of_type["failed"] += count
    return counts


def sort_out(
    raws: Raws,
    *,
    superseded: frozenset[int],
    first_index: int,
    keys: Keyring,
    mappers: Mapping[str, Mapper],
    seal: bool,
    plain: dict[int, bytes] | None = None,
) -> SortedOut:
    """Checks, maps, indexes, fingerprints and (with `seal`) encrypts the records of one batch. Touches no database.

    A record is who it was sent as: its id and type, and so its key, are those before the mapping. A type without a
    mapper is stored as it came. `plain` is the caller's, to be filled with what would be stored, by position; it never
    leaves this process.
    """
    sealer = keys.sealer("imports_record", "payload")
    encrypt, key_of, fingerprint = sealer.seal, keys.index.key, keys.index.fingerprint
    read = watched("reading_record", checking.read)
    tally = Tally({record_type: len(mapper.targets) for record_type, mapper in mappers.items()})
    missing = tally.missing
    result = SortedOut(bytearray(len(raws)), [""] * len(raws), tally, data_key_id=sealer.data_key_id)
    outcomes, types, failures = result.outcomes, result.types, result.failures
    incoming: dict[bytes, Incoming] = {}
    for offset, raw in enumerate(raws):
        if offset in superseded:
            outcomes[offset] = Outcome.SUPERSEDED.byte
            types[offset] = checking.identity(raw)[1]
            tally.pass_over(types[offset], is_erased=not raw)
            continue
        try:
            found, canonical = read(raw)
            record_type = found.type
            mapper = mappers.get(record_type)
            if mapper is not None:
                canonical = mapper.map(found, missing[record_type])
        except checking.Refused as refused:
            outcomes[offset] = Outcome.FAILED.byte
            external_id, types[offset] = checking.identity(raw)
            tally.refuse(types[offset], refused, has_id=external_id is not None)
            failures.append(Failure(first_index + offset, bytes(raw), refused.problems))
            continue
        types[offset] = record_type
        key = key_of(record_type, found.id)
        row = storing.record_row(record_type, key)
        earlier = incoming.get(row)
        if earlier is not None:
            outcomes[earlier.position - first_index] = Outcome.SUPERSEDED.byte
        incoming[row] = Incoming(
            first_index + offset,
            record_type,
            key,
            encrypt(canonical, row) if seal else b"",
            fingerprint(canonical),
        )
        if plain is not None:
            plain[first_index + offset] = canonical
    result.incoming = list(incoming.values())
    return result
