from typing import Annotated, Literal
from uuid import UUID

from django.http import Http404, HttpResponse
from drf_spectacular.utils import extend_schema
from msgspec import Meta, Struct, field
from rest_framework.request import Request
from rest_framework.views import APIView

from imports import redriving
from imports.api import retry_schema, schema
from imports.api.answers import json_answer, own_job
from imports.api.authentication import call_of
from imports.api.bodies import json_body
from imports.envelope import JSON
from imports.models import Redrive
from imports.redrive_plan import Wanted, describe, preview
from imports.redriving import MAX_PER_SECOND

MOST = 2**31 - 1


class Filter(Struct, forbid_unknown_fields=True):
    job: UUID | None = None
    code: Annotated[str, Meta(max_length=50, pattern=r"^[^\x00]*$")] | None = None
    type: Literal["customer", "order", "product"] | None = None
    state: Literal["open", "discarded"] = "open"


class Asked(Struct, forbid_unknown_fields=True, rename="camel"):
    filter: Filter = field(default_factory=Filter)
    sample: Annotated[int, Meta(ge=1, le=MOST)] | None = None
    per_second: Annotated[int, Meta(ge=1, le=MAX_PER_SECOND)] | None = None
    preview: bool = False


class RedriveStartView(APIView):
    """Many failed records at once: first as a preview, then with a sample and a pace if you like."""

    required_scope = "imports:write"

    @extend_schema(
        operation_id="startRedrive",
        summary="Try the failed records of a filter again",
        request={JSON: retry_schema.RedriveBody},
        responses={
            200: retry_schema.Preview,
            202: retry_schema.RedriveState,
            **schema.problems(400, 401, 403, 404, 415, 422, 429, 503),
        },
    )
    def post(self, request: Request) -> HttpResponse:
        call = call_of(request)
        asked = json_body(call, type=Asked)
        wanted = Wanted(
            call.customer_id,
            job=own_job(request, asked.filter.job) if asked.filter.job else None,
            code=asked.filter.code or "",
            type=asked.filter.type or "",
            state=asked.filter.state,
        )
        if asked.preview:
            return json_answer(preview(wanted))
        state = describe(redriving.start(wanted, sample=asked.sample, per_second=asked.per_second))
        return json_answer(state, status=202, headers={"Location": state["links"]["self"]})


class RedriveView(APIView):
    required_scope = "imports:read"

    @extend_schema(
        operation_id="redrive",
        summary="How far a redrive is",
        responses={200: retry_schema.RedriveState, **schema.problems(401, 403, 404, 429, 503)},
    )
    def get(self, request: Request, redrive_id: UUID) -> HttpResponse:
        return json_answer(describe(_own(request, redrive_id)))


class RedrivePauseView(APIView):
    """What was handed to the workers is still tried."""

    required_scope = "imports:write"

    @extend_schema(
        operation_id="pauseRedrive",
        summary="Hold a redrive",
        request=None,
        responses={200: retry_schema.RedriveState, **schema.problems(401, 403, 404, 409, 429, 503)},
    )
    def post(self, request: Request, redrive_id: UUID) -> HttpResponse:
        return json_answer(describe(redriving.pause(_own(request, redrive_id))))


class RedriveResumeView(APIView):
    """After a sample: with all the rest."""

    required_scope = "imports:write"

    @extend_schema(
        operation_id="resumeRedrive",
        summary="Let a redrive go on",
        request=None,
        responses={200: retry_schema.RedriveState, **schema.problems(401, 403, 404, 409, 429, 503)},
    )
    def post(self, request: Request, redrive_id: UUID) -> HttpResponse:
        return json_answer(describe(redriving.resume(_own(request, redrive_id))))


class RedriveCancelView(APIView):
    """For good. What was handed to the workers is still tried; all others stay as they are."""

    required_scope = "imports:write"

    @extend_schema(
        operation_id="cancelRedrive",
        summary="End a redrive",
        request=None,
        responses={200: retry_schema.RedriveState, **schema.problems(401, 403, 404, 409, 429, 503)},
    )
    def post(self, request: Request, redrive_id: UUID) -> HttpResponse:
        return json_answer(describe(redriving.cancel(_own(request, redrive_id))))


def _own(request: Request, redrive_id: UUID) -> Redrive:
    found = Redrive.objects.select_related("wanted_job").filter(
        uuid=redrive_id, customer_id=call_of(request).customer_id
    )
    redrive = found.first()
    if redrive is None:
        raise Http404
    return redrive
