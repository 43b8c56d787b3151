from typing import Annotated, Literal

from django.http import Http404, HttpResponse
from drf_spectacular.utils import extend_schema
from msgspec import Meta, Struct
from rest_framework.request import Request
from rest_framework.views import APIView

from imports.api import schema
from imports.api.answers import json_answer
from imports.api.authentication import call_of
from imports.api.bodies import json_body
from imports.envelope import JSON
from imports.lookup import look_up


class Wanted(Struct, forbid_unknown_fields=True):
    type: Literal["customer", "order", "product"]
    id: Annotated[str, Meta(min_length=1, max_length=255)]


class RecordLookupView(APIView):
    """One record by its business id. The id stands in the body, since an address ends up in logs."""

    required_scope = "records:read"

    @extend_schema(
        operation_id="lookUpRecord",
        summary="Find one record and its story",
        request={JSON: schema.Lookup},
        responses={200: schema.FoundRecord, **schema.problems(400, 401, 403, 404, 415, 422, 429, 503)},
    )
    def post(self, request: Request) -> HttpResponse:
        call = call_of(request)
        wanted = json_body(call, type=Wanted)
        found = look_up(customer_id=call.customer_id, record_type=wanted.type, external_id=wanted.id)
        if found is None:
            raise Http404
        return json_answer(found)
