from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from imports.api import schema
from imports.api.answers import json_answer
from imports.api.authentication import call_of
from imports.api.problems import Problem
from imports.listing import PAGE_SIZE, list_jobs
from imports.status import summarise


class ImportListView(APIView):
    required_scope = "imports:read"

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
            limit=_limit(request.GET.get("limit")),
        )
        now = timezone.now()
        return json_answer({"imports": [summarise(job, now) for job in page.jobs], "next": page.next})


def _limit(value: str | None) -> int:
    if value is None:
        return PAGE_SIZE
    if not (value.isascii() and value.isdigit() and len(value) <= 4 and 1 <= int(value) <= PAGE_SIZE):
        raise Problem("invalid_parameter", f"limit must be a whole number from 1 to {PAGE_SIZE}.")
    return int(value)
