from collections.abc import AsyncIterator
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import connection
from django.http import Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.views import APIView

from audit.trail import audited, record
from imports import results, undo_plan, undoing
from imports.api import schema, undo_schema
from imports.api.answers import json_answer, own_job
from imports.api.authentication import call_of
from imports.api.bodies import json_body
from imports.api.views.results import NDJSON
from imports.envelope import JSON
from imports.models import Undo


class _Asked(Struct, forbid_unknown_fields=True):
    preview: bool = False


class UndoView(APIView):
    """An import taken back: first as a preview, then for good. Asked for again, it is the same undo."""

    required_scope = {"GET": "imports:read", "POST": "imports:write"}

    @extend_schema(
        operation_id="undoImport",
        summary="Undo an import, or say what that would do",
        request={JSON: undo_schema.UndoBody},
        responses={
            200: undo_schema.Plan,
            202: undo_schema.UndoState,
            **schema.problems(400, 401, 403, 404, 409, 410, 415, 422, 429, 503),
        },
    )
    def post(self, request: Request, job_id: UUID) -> HttpResponse:
        job = own_job(request, job_id)
        call = call_of(request)
        asked = json_body(call, type=_Asked) if call.body else _Asked()
        if asked.preview:
            return json_answer(undo_plan.plan(job))
        state = undo_plan.describe(undoing.start(job))
        return json_answer(state, status=202, headers={"Location": state["links"]["self"]})

    @extend_schema(
        operation_id="undo",
        summary="How far the undo of an import is",
        responses={200: undo_schema.UndoState, **schema.problems(401, 403, 404, 429, 503)},
    )
    def get(self, request: Request, job_id: UUID) -> HttpResponse:
        return json_answer(undo_plan.describe(_own(request, job_id)))


class UndoKeptView(APIView):
    """One line for each record that an undo leaves as it is, in input order, streamed."""

    required_scope = "imports:read"

    @extend_schema(
        operation_id="keptByUndo",
        summary="Which records an undo leaves as they are, and why",
        responses={
            (200, NDJSON): undo_schema.KeptLine,
            **schema.problems(401, 403, 404, 410, 429, 503),
        },
    )
    def get(self, request: Request, job_id: UUID) -> HttpResponseBase:
        undo = _own(request, job_id)
        batches = undo_plan.batches_with_kept(undo)
        with audited():
            record(
                "results.downloaded",
                target=f"import:{undo.job.uuid}",
                customer_id=undo.customer_id,
                detail={"selection": "kept"},
            )
        return StreamingHttpResponse(
            _stream(undo, batches),
            content_type=NDJSON,
            headers={"Content-Disposition": f'attachment; filename="{undo.job.uuid}-kept.ndjson"'},
        )


def _own(request: Request, job_id: UUID) -> Undo:
    undo = Undo.objects.select_related("job").filter(job=own_job(request, job_id)).first()
    if undo is None:
        raise Http404
    return undo


async def _stream(undo: Undo, batches: list[int]) -> AsyncIterator[bytes]:
    """A batch at a time, each read in a thread of its own that gives its connection back."""
    for batch in batches:
        yield await sync_to_async(_chunk, thread_sensitive=False)(undo, batch)


def _chunk(undo: Undo, batch: int) -> bytes:
    try:
        return results.as_ndjson(undo_plan.kept_lines(undo, batch))
    finally:
        connection.close()
