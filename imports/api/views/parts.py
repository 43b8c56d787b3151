import base64
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from imports import parts
from imports.api import schema
from imports.api.answers import json_answer, own_job
from imports.api.authentication import call_of
from imports.api.submission import submission
from imports.progress import wire_time


class PartListView(APIView):
    """What has arrived, so that an interrupted push knows what is left to send."""

    required_scope = "imports:read"

    @extend_schema(
        operation_id="listParts",
        summary="Which parts of an import have arrived",
        responses={200: schema.PartList, **schema.problems(401, 403, 404, 429, 503)},
    )
    def get(self, request: Request, job_id: UUID) -> HttpResponse:
        job = own_job(request, job_id)
        content = {
            "parts": [
                {
                    "part": part.number,
                    "records": part.record_count,
                    "bytes": part.wire_bytes,
                    "digest": base64.urlsafe_b64encode(bytes(part.body_digest)).decode().rstrip("="),
                }
                for part in parts.arrived(job)
            ],
            "totalRecords": job.total,
            "openUntil": wire_time(job.open_until) if job.open_until else None,
        }
        return json_answer(content)


class PartView(APIView):
    """Stored before it is answered; the same part again is answered the same and stored once."""

    required_scope = "imports:write"

    @extend_schema(
        operation_id="putPart",
        summary="Send one part of an open import",
        request=schema.PART_BODY,
        parameters=[schema.PART_NUMBER, schema.CSV_TYPE],
        responses={
            200: schema.PartReceipt,
            201: schema.PartReceipt,
            **schema.problems(400, 401, 403, 404, 409, 411, 413, 415, 422, 429, 503),
        },
    )
    def put(self, request: Request, job_id: UUID, number: int) -> HttpResponse:
        job = own_job(request, job_id)
        wire_bytes = call_of(request).size_on_wire
        receipt = parts.receive(submission(request), job=job, number=number, wire_bytes=wire_bytes)
        content = {
            "part": receipt.number,
            "records": receipt.record_count,
            "bytes": receipt.wire_bytes,
            "totalRecords": receipt.total_records,
        }
        return json_answer(content, status=201 if receipt.is_new else 200)
