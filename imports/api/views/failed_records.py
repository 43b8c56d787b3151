from uuid import UUID

from django.http import Http404, HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from imports.api import retry_schema, schema
from imports.api.answers import json_answer, own_job
from imports.api.authentication import call_of
from imports.api.problems import Problem
from imports.api.views.listing import page_limit
from imports.failure_listing import find, in_full, list_failures
from imports.models import FailedRecord


class FailedRecordListView(APIView):
    """Without what was sent: that is in each record's own address, and in the import's results."""

    required_scope = "imports:read"

    @extend_schema(
        operation_id="listFailedRecords",
        summary="Your failed records, newest first",
        parameters=retry_schema.LIST_PARAMETERS,
        responses={200: retry_schema.FailedRecordList, **schema.problems(401, 403, 404, 422, 429, 503)},
    )
    def get(self, request: Request) -> HttpResponse:
        job = request.GET.get("job")
        page = list_failures(
            customer_id=call_of(request).customer_id,
            job=own_job(request, _job_id(job)) if job else None,
            code=request.GET.get("code"),
            state=request.GET.get("state"),
            after=request.GET.get("after"),
            limit=page_limit(request.GET.get("limit")),
        )
        return json_answer({"failedRecords": page.lines, "next": page.next})


class FailedRecordView(APIView):
    """One failed record with what was sent, to be looked at before it is edited."""

    required_scope = "records:read"

    @extend_schema(
        operation_id="failedRecord",
        summary="A failed record and what was sent",
        responses={200: retry_schema.FailedRecordInFull, **schema.problems(401, 403, 404, 429, 503)},
    )
    def get(self, request: Request, job_id: UUID, index: int) -> HttpResponse:
        return json_answer(in_full(own_failure(request, job_id, index)))


def own_failure(request: Request, job_id: UUID, index: int) -> FailedRecord:
    """The caller's failed record; Http404 for one that does not exist and for another customer's alike."""
    found = find(customer_id=call_of(request).customer_id, job_uuid=job_id, index=index)
    if found is None:
        raise Http404
    return found


def _job_id(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise Problem("invalid_parameter", "job must be the id of an import.") from None
