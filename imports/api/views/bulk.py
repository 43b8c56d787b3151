from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from imports import intake
from imports.api import schema
from imports.api.answers import json_answer
from imports.api.authentication import call_of
from imports.api.submission import submission
from imports.models import ImportJob
from imports.status import links


class BulkImportView(APIView):
    """Push a body of records; they are stored in the background."""

    required_scope = "imports:write"

    @extend_schema(
        operation_id="bulkImport",
        summary="Push a bulk import",
        request=schema.RECORDS_BODY,
        parameters=[*schema.CSV_METADATA, *schema.RETRY_POLICY, schema.IDEMPOTENCY_KEY],
        responses={202: schema.Accepted, **schema.problems(400, 401, 403, 409, 411, 413, 415, 422, 429, 503)},
    )
    def post(self, request: Request) -> HttpResponse:
        return accepted(call_of(request).repeated or intake.accept(submission(request)))


def accepted(job: ImportJob) -> HttpResponse:
    """202 with the job's address; the same for every repetition of an idempotent request."""
    content = {
        "jobId": str(job.uuid),
        "status": ImportJob.Status.PENDING,
        "progress": {"total": job.total, "processed": 0, "failed": 0},
        "links": links(job),
    }
    return json_answer(content, status=202, headers={"Location": links(job)["status"]})
