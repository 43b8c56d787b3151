from collections.abc import AsyncIterator, Iterator
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from audit.trail import audited, record
from imports import changes
from imports.api import schema
from imports.api.answers import own_job
from imports.api.views.results import CSV, NDJSON, wants_csv
from imports.changes import ChangedRecord
from imports.models import ImportJob


class ChangesView(APIView):
    """The records that a dry run would create or update, compared with what is stored while they are fetched."""

    required_scope = "records:read"

    @extend_schema(
        operation_id="dryRunChanges",
        summary="What a dry run would change, value by value",
        responses={
            (200, NDJSON): schema.ChangedRecord,
            (200, CSV): str,
            **schema.problems(401, 403, 404, 409, 410, 429, 503),
        },
    )
    def get(self, request: Request, job_id: UUID) -> HttpResponseBase:
        job = own_job(request, job_id)
        batches = changes.batches_of(job)
        with audited():
            record(
                "results.downloaded",
                target=f"import:{job.uuid}",
                customer_id=job.customer_id,
                detail={"selection": "changes"},
            )
        as_csv = wants_csv(request.headers.get("Accept", ""))
        return StreamingHttpResponse(
            _stream(job, batches, as_csv=as_csv),
            content_type=f"{CSV}; charset=utf-8" if as_csv else NDJSON,
            headers={
                "Content-Disposition": f'attachment; filename="{job.uuid}-changes.{"csv" if as_csv else "ndjson"}"',
                "Cache-Control": "no-store",
            },
        )


async def _stream(job: ImportJob, batches: list[int], *, as_csv: bool) -> AsyncIterator[bytes]:
    """A piece at a time, each read in a thread of its own that gives its connection back."""
    if as_csv:
        yield changes.csv_header()
    pieces = _pieces(job, batches)
    while (piece := await sync_to_async(_next, thread_sensitive=False)(pieces)) is not None:
        yield changes.as_csv(piece) if as_csv else changes.as_ndjson(piece)


def _pieces(job: ImportJob, batches: list[int]) -> Iterator[list[ChangedRecord]]:
    for batch in batches:
        yield from changes.pieces_of(job, batch)


def _next(pieces: Iterator[list[ChangedRecord]]) -> list[ChangedRecord] | None:
    try:
        return next(pieces, None)
    finally:
        connection.close()
