"""A failed record that is no longer one: its batch's outcomes and its job's counters follow, in the same transaction.

Law 3 holds throughout, since a move takes one from `failed` and gives one to another outcome.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from django.db import connection

from imports import publishing
from imports.after_commit import after_commit
from imports.models import ImportBatch
from imports.outcome import Outcome

_COUNT: Final = """
    UPDATE imports_importjob SET
        failed = failed - %(moved)s, created = created + %(created)s, updated = updated + %(updated)s,
        unchanged = unchanged + %(unchanged)s, superseded = superseded + %(superseded)s, revision = revision + 1
    WHERE id = %(job)s
    RETURNING uuid, revision
"""


class Move(NamedTuple):
    """From failed to `outcome`. `position` counts from the job's first record.

    `type` is the one it failed under, empty where it named none.
    """

    job_id: int
    batch_id: int
    position: int
    type: str
    outcome: Outcome


def lock_batches(batch_ids: Iterable[int]) -> dict[int, ImportBatch]:
    """The batches without their payloads, locked in the order of their ids: before any failed record is."""
    batches = (
        ImportBatch.objects.filter(pk__in=set(batch_ids))
        .select_for_update(no_key=True)
        .only("job_id", "first_index", "outcomes", "by_type")
        .order_by("pk")
    )
    return {batch.pk: batch for batch in batches}


def move_outcomes(moves: Sequence[Move], batches: dict[int, ImportBatch]) -> None:
    """Into the bytes and the counts by type of the locked `batches`. RuntimeError where one did not count as failed."""
    by_batch: dict[int, list[Move]] = defaultdict(list)
    for move in moves:
        by_batch[move.batch_id].append(move)
    for batch_id, of_batch in sorted(by_batch.items()):
        batch = batches[batch_id]
        outcomes = bytearray(bytes(batch.outcomes or b""))
        for move in of_batch:
            place = move.position - batch.first_index
            if outcomes[place] != Outcome.FAILED.byte:
                raise RuntimeError(f"Batch {batch_id} does not count its record {place} as failed.")
            outcomes[place] = move.outcome.byte
            batch.by_type[move.type or "unknown"]["failed"] -= 1
        batch.outcomes = bytes(outcomes)
        batch.save(update_fields=["outcomes", "by_type"])


def move_counts(moves: Sequence[Move]) -> None:
    """Into the jobs' counters, in the order of their numbers: the last statements but the audit's."""
    by_job: dict[int, Counter[Outcome]] = defaultdict(Counter)
    for move in moves:
        by_job[move.job_id][move.outcome] += 1
    with connection.cursor() as cursor:
        for job_id, outcomes in sorted(by_job.items()):
            counts = {outcome.label: outcomes[outcome] for outcome in Outcome}
            cursor.execute(_COUNT, {**counts, "moved": outcomes.total(), "job": job_id})
            job_uuid, revision = cursor.fetchone()
            after_commit(publishing.publish, job_id, job_uuid, revision, final=True)
