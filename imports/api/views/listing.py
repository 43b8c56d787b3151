from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from audit.clock import database_now
from imports import opening
from imports.api import schema
from imports.api.answers import json_answer
from imports.api.authentication import call_of
from imports.api.problems import Problem
from imports.api.submission import submission
from imports.listing import PAGE_SIZE, list_jobs
from imports.progress import wire_time
from imports.status import links, summarise


class ImportListView(APIView):
    required_scope = {"GET": "imports:read", "POST": "imports:write"}

    @extend_schema(
        operation_id="listImports",
        summary="Your imports, newest first",
        parameters=schema.LIST_PARAMETERS,
        responses={200: schema.ImportList, **schema.problems(401, 403, 422, 429, 503)},
    )
    def get(self, request: Request) -> HttpResponse:
        page = list_jobs(
            customer_id=call_of(request).customer_id,
            status=request.GET.get("status"),
            after=request.GET.get("after"),
            limit=page_limit(request.GET.get("limit")),
        )
        now = database_now()
        return json_answer({"imports": [summarise(job, now) for job in page.jobs], "next": page.next})

    @extend_schema(
        operation_id="openImport",
        summary="Open an import that is sent in parts",
        request=schema.OPENING_BODY,
        parameters=[*schema.RETRY_POLICY, schema.IDEMPOTENCY_KEY],
        responses={201: schema.Opened, **schema.problems(400, 401, 403, 409, 411, 413, 415, 422, 429, 503)},
    )
    def post(self, request: Request) -> HttpResponse:
        job = opening.open_job(submission(request))
        content: dict[str, Any] = {
            "jobId": str(job.uuid),
            "status": job.status,
            "statusReason": job.status_reason or None,
            "openUntil": wire_time(job.open_until) if job.open_until else None,
            "progress": {"total": job.total, "processed": job.processed, "failed": job.failed},
            "links": links(job),
        }
        return json_answer(content, status=201, headers={"Location": links(job)["status"]})


def page_limit(value: str | None) -> int:
    """The `limit` of a list; raises Problem for anything but 1 to 50."""
    if value is None:
        return PAGE_SIZE
    if not (value.isascii() and value.isdigit() and len(value) <= 4 and 1 <= int(value) <= PAGE_SIZE):
        raise Problem("invalid_parameter", f"limit must be a whole number from 1 to {PAGE_SIZE}.")
    return int(value)
