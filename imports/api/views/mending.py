from typing import Annotated, Literal
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from msgspec import Meta, Raw, Struct
from rest_framework.request import Request
from rest_framework.views import APIView

from customers.keyring import keyring
from imports import mending
from imports.api import retry_schema, schema
from imports.api.answers import json_answer
from imports.api.authentication import call_of
from imports.api.bodies import json_body
from imports.api.views.failed_records import own_failure
from imports.envelope import JSON
from imports.failure_listing import line
from imports.models import FailedRecord


class Edit(Struct, forbid_unknown_fields=True):
    record: Raw
    attempt: Annotated[int, Meta(ge=1, le=2**31 - 1)]


class Discard(Struct, forbid_unknown_fields=True):
    reason: Literal["duplicate", "obsolete", "invalid", "test", "other"]


class FailedRecordRetryView(APIView):
    """Checks and stores the record once more, under the place it had. A discarded one comes back."""

    required_scope = "imports:write"

    @extend_schema(
        operation_id="retryFailedRecord",
        summary="Try one failed record again",
        request=None,
        responses={202: retry_schema.FailedRecordLine, **schema.problems(401, 403, 404, 409, 410, 429, 503)},
    )
    def post(self, request: Request, job_id: UUID, index: int) -> HttpResponse:
        return _answer(mending.retry(own_failure(request, job_id, index)), status=202)


class FailedRecordEditView(APIView):
    """Puts a mended record in the failed one's place and tries it. What was sent first is kept."""

    required_scope = "imports:write"

    @extend_schema(
        operation_id="editFailedRecord",
        summary="Mend one failed record",
        request={JSON: retry_schema.Edit},
        responses={
            202: retry_schema.FailedRecordLine,
            **schema.problems(400, 401, 403, 404, 409, 410, 415, 422, 429, 503),
        },
    )
    def post(self, request: Request, job_id: UUID, index: int) -> HttpResponse:
        failure = own_failure(request, job_id, index)
        wanted = json_body(call_of(request), type=Edit)
        return _answer(mending.edit(failure, bytes(wanted.record), attempt=wanted.attempt), status=202)


class FailedRecordDiscardView(APIView):
    """Nobody will store it; it goes on counting as failed."""

    required_scope = "imports:write"

    @extend_schema(
        operation_id="discardFailedRecord",
        summary="Give up one failed record",
        request={JSON: retry_schema.Discard},
        responses={
            200: retry_schema.FailedRecordLine,
            **schema.problems(400, 401, 403, 404, 409, 410, 415, 422, 429, 503),
        },
    )
    def post(self, request: Request, job_id: UUID, index: int) -> HttpResponse:
        failure = own_failure(request, job_id, index)
        wanted = json_body(call_of(request), type=Discard)
        return _answer(mending.discard(failure, reason=wanted.reason), status=200)


def _answer(failure: FailedRecord, *, status: int) -> HttpResponse:
    return json_answer(line(failure, keyring(failure.customer_id)), status=status)
