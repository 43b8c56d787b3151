from collections.abc import AsyncIterator
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from audit.trail import audited, record
from imports import envelope, results
from imports.api import schema
from imports.api.answers import own_job
from imports.models import ImportJob
from imports.results import Selection

NDJSON = "application/x-ndjson"
CSV = "text/csv"


class ResultsView(APIView):
    """One line a record, in input order, streamed; CSV where Accept asks for it first."""

    required_scope = "imports:read"

    @extend_schema(
        operation_id="importResults",
        summary="What became of each record",
        parameters=[schema.SELECTION],
        responses={
            (200, NDJSON): schema.ResultLine,
            (200, CSV): str,
            **schema.problems(401, 403, 404, 409, 410, 429, 503),
        },
    )
    def get(self, request: Request, job_id: UUID, selection: Selection) -> HttpResponseBase:
        job = own_job(request, job_id)
        batches = results.batches_of(job, selection)
        with audited():
            record(
                "results.downloaded",
                target=f"import:{job.uuid}",
                customer_id=job.customer_id,
                detail={"selection": selection},
            )
        as_csv = wants_csv(request.headers.get("Accept", ""))
        return StreamingHttpResponse(
            _stream(job, batches, selection, as_csv=as_csv),
            content_type=f"{CSV}; charset=utf-8" if as_csv else NDJSON,
            headers={
                "Content-Disposition": f'attachment; filename="{job.uuid}-{selection}.{"csv" if as_csv else "ndjson"}"'
            },
        )


async def _stream(job: ImportJob, batches: list[int], selection: Selection, *, as_csv: bool) -> AsyncIterator[bytes]:
    """A batch at a time, each read in a thread of its own that gives its connection back."""
    if as_csv:
        yield results.csv_header()
    for batch in batches:
        yield await sync_to_async(_chunk, thread_sensitive=False)(job, batch, selection, as_csv)


def _chunk(job: ImportJob, batch: int, selection: Selection, as_csv: bool) -> bytes:
    try:
        found = results.lines(job, batch, selection)
        return results.as_csv(found) if as_csv else results.as_ndjson(found)
    finally:
        connection.close()


def wants_csv(accept: str) -> bool:
    """True where text/csv stands before every other type that would do."""
    for entry in accept.split(","):
        media_type = entry.partition(";")[0].strip().lower()
        if media_type == CSV:
            return True
        if media_type in (NDJSON, envelope.NDJSON, "application/json", "*/*"):
            return False
    return False
