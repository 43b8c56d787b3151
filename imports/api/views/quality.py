from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from imports import checking
from imports.api import quality_schema, schema
from imports.api.answers import json_answer, own_job
from imports.api.authentication import call_of
from imports.api.views.listing import page_limit
from imports.listing import unknown
from imports.quality import report


class ImportQualityView(APIView):
    required_scope = "imports:read"

    @extend_schema(
        operation_id="importQuality",
        summary="How good what an import or dry run brought was",
        responses={200: quality_schema.Quality, **schema.problems(401, 403, 404, 409, 429, 503)},
    )
    def get(self, request: Request, job_id: UUID) -> HttpResponse:
        return json_answer(report.of_job(own_job(request, job_id)))


class QualityHistoryView(APIView):
    required_scope = "imports:read"

    @extend_schema(
        operation_id="qualityHistory",
        summary="How the quality of your last imports went",
        parameters=quality_schema.HISTORY_PARAMETERS,
        responses={200: quality_schema.History, **schema.problems(401, 403, 422, 429, 503)},
    )
    def get(self, request: Request) -> HttpResponse:
        limit, record_type = request.GET.get("limit"), request.GET.get("type")
        if record_type is not None and record_type not in checking.TYPES:
            raise unknown("type", f"type must be one of {', '.join(checking.TYPES)}.")
        found = report.history(
            call_of(request).customer_id,
            record_type or "",
            limit=report.DEFAULT_JOBS if limit is None else page_limit(limit),
        )
        return json_answer(found)
