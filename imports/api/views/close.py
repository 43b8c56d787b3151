from typing import Annotated
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from msgspec import Meta, Struct
from rest_framework.request import Request
from rest_framework.views import APIView

from imports import closing
from imports.api import schema
from imports.api.answers import json_answer, own_job
from imports.api.authentication import call_of
from imports.api.bodies import json_body
from imports.json_document import MAX_RECORDS
from imports.parts import MAX_PARTS
from imports.status import links


class _Closing(Struct, forbid_unknown_fields=True):
    parts: Annotated[int, Meta(ge=1, le=MAX_PARTS)] | None = None
    records: Annotated[int, Meta(ge=1, le=MAX_RECORDS)] | None = None


class CloseView(APIView):
    """All parts are sent: the import is processed from now on."""

    required_scope = "imports:write"

    @extend_schema(
        operation_id="closeImport",
        summary="Close an import that was sent in parts",
        request=schema.CLOSING_BODY,
        responses={202: schema.Accepted, **schema.problems(400, 401, 403, 404, 409, 411, 415, 422, 429, 503)},
    )
    def post(self, request: Request, job_id: UUID) -> HttpResponse:
        job = own_job(request, job_id)
        call = call_of(request)
        sent = json_body(call, type=_Closing) if call.body else _Closing()
        job = closing.close(job, expected_parts=sent.parts, expected_records=sent.records)
        content = {
            "jobId": str(job.uuid),
            "status": job.status,
            "progress": {"total": job.total, "processed": job.processed, "failed": job.failed},
            "links": links(job),
        }
        return json_answer(content, status=202, headers={"Location": links(job)["status"]})
