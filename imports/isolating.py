"""A batch that no process survives, or that fails again and again, is taken apart until the bad record stands alone."""

import copy
from typing import Final

from django.db import connection
from django.db.models import Max

from customers.keyring import hold, keyring
from imports import batching
from imports.failpoints import hit
from imports.intake import payload_row
from imports.models import ImportBatch, ImportJob

# 5,000 records are 250, then 13, then one: four rounds.
PIECES: Final = 20
# So many batches are no few bad records among good ones: the fault is the server's.
MAX_BATCHES: Final = 10_000


class CannotSplit(Exception):
    """The payload cannot be opened: give the job up."""


class TooManyPieces(CannotSplit):
    """The job is in so many pieces already that the fault lies elsewhere: wait where it may pass, else give up."""


def split(batch: ImportBatch, *, is_suspect: bool) -> bytes | None:
    """With the batch's row locked: puts up to PIECES batches in its place, or returns its only record.

    Results keep the order of `first_index`; the pieces' numbers come after the job's last one, so that the batches of
    good records are worked on first. Their attempts count from nought. `is_suspect`: a time-out takes each apart at
    once. Raises CannotSplit.
    """
    job = ImportJob.objects.only("uuid", "batch_count").get(pk=batch.job_id)
    try:
        raws = _open(batch, job)
    except Exception as err:
        raise CannotSplit("The payload cannot be opened.") from err
    if len(raws) == 1:
        return raws[0]
    size = -(-len(raws) // PIECES)
    starts = range(0, len(raws), size)
    if job.batch_count + len(starts) > MAX_BATCHES:
        raise TooManyPieces("The job is in too many pieces already.")
    sealer = keyring(batch.customer_id).sealer("imports_importbatch", "payload")
    with connection.cursor() as cursor:
        # The job's row is locked from here on: two batches of one job are taken apart one after the other.
        cursor.execute(
            "UPDATE imports_importjob SET batch_count = batch_count + %s, revision = revision + 1 WHERE id = %s",
            [len(starts) - 1, batch.job_id],
        )
    last = ImportBatch.objects.filter(job_id=batch.job_id).aggregate(last=Max("sequence"))["last"]
    pieces = []
    for number, start in enumerate(starts):
        of_piece = raws[start : start + size]
        piece = copy.copy(batch)
        piece._state = copy.copy(batch._state)
        piece._state.adding, piece.pk = True, None
        piece.sequence = batch.sequence if number == 0 else last + number
        piece.first_index = batch.first_index + start
        piece.record_count = len(of_piece)
        piece.superseded = [offset - start for offset in batch.superseded if start <= offset < start + size]
        piece.due_at, piece.is_suspect = None, is_suspect
        piece.payload = sealer.seal(batching.pack(of_piece), payload_row(job.uuid, piece.sequence))
        pieces.append(piece)
    hold(batch.customer_id, [sealer.data_key_id])
    ImportBatch.objects.filter(pk=batch.pk).delete()
    ImportBatch.objects.bulk_create(pieces)
    hit("splitting")
    return None


def _open(batch: ImportBatch, job: ImportJob) -> list[bytes]:
    opener = keyring(batch.customer_id).opener("imports_importbatch", "payload")
    return batching.unpack(opener.open(bytes(batch.payload or b""), payload_row(job.uuid, batch.sequence)))
