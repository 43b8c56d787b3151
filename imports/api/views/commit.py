from typing import Annotated
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from msgspec import Meta, Struct
from rest_framework.request import Request
from rest_framework.views import APIView

from imports import committing
from imports.api import schema
from imports.api.answers import own_job
from imports.api.authentication import call_of
from imports.api.bodies import json_body
from imports.api.call import digest_bytes
from imports.api.submission import submission
from imports.api.views.bulk import accepted
from imports.envelope import JSON


class _Commit(Struct, forbid_unknown_fields=True):
    digest: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}\Z")]


class CommitView(APIView):
    """Imports exactly what the dry run was given, with the mappings it ran with; once, however often it is asked."""

    required_scope = "imports:write"

    @extend_schema(
        operation_id="commitDryRun",
        summary="Import what a dry run has checked",
        request={JSON: schema.Commit},
        parameters=schema.RETRY_POLICY,
        responses={202: schema.Accepted, **schema.problems(400, 401, 403, 404, 409, 410, 415, 422, 429, 503)},
    )
    def post(self, request: Request, job_id: UUID) -> HttpResponse:
        dry_run = own_job(request, job_id)
        wanted = json_body(call_of(request), type=_Commit)
        return accepted(committing.commit(dry_run, submission(request), digest=digest_bytes(wanted.digest)))
