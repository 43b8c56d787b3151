from typing import Annotated, Any, Literal

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from msgspec import Meta, Struct, field
from rest_framework.request import Request
from rest_framework.views import APIView

from imports.api import schema
from imports.api.answers import json_answer
from imports.api.authentication import call_of
from imports.api.bodies import json_body
from imports.api.problems import Flaw, Problem
from imports.checking import MAX_ID_LENGTH
from imports.envelope import JSON
from imports.mapping import path
from imports.personal import requests
from imports.personal.document import SECTIONS
from imports.personal.erasing import StillHeldError
from imports.personal.requests import Answer
from imports.personal.subject import Subject

MAX_PATHS = 10
_Path = Annotated[str, Meta(min_length=1, max_length=1000)]


class Person(Struct, forbid_unknown_fields=True):
    """The types must be named: one id may stand for a customer and for a product."""

    id: Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]
    types: Annotated[list[Literal["customer", "order", "product", "unknown"]], Meta(min_length=1, max_length=4)]
    related: Annotated[list[_Path], Meta(max_length=MAX_PATHS)] = field(default_factory=list)


class RecordsExportView(APIView):
    """All that is kept under one business id. The id stands in the body, since an address ends up in logs."""

    required_scope = "records:read"

    @extend_schema(
        operation_id="exportPersonalData",
        summary="Everything kept of one person",
        request={JSON: schema.Person},
        responses={200: schema.PersonalData, **schema.problems(400, 401, 403, 415, 422, 429, 503)},
    )
    def post(self, request: Request) -> HttpResponse:
        answer = requests.export_at_once(_subject(request))
        return _answer({**answer.content, "request": str(answer.request), "unreadable": answer.unreadable})


class RecordsEraseView(APIView):
    """For good, and wherever it lies. Asked for again it removes what came since."""

    required_scope = "records:erase"

    @extend_schema(
        operation_id="erasePersonalData",
        summary="Erase everything kept of one person",
        request={JSON: schema.Person},
        responses={200: schema.Erased, **schema.problems(400, 401, 403, 415, 422, 429, 503)},
    )
    def post(self, request: Request) -> HttpResponse:
        try:
            answer = requests.erase_at_once(_subject(request))
        except StillHeldError:
            raise Problem("unavailable", "Part of it is being worked on and is left; send this again.") from None
        return _answer({"request": str(answer.request), "counts": _counts(answer), "unreadable": answer.unreadable})


def _subject(request: Request) -> Subject:
    call = call_of(request)
    wanted = json_body(call, type=Person)
    related = []
    for number, text in enumerate(wanted.related):
        try:
            related.append(path.parse(text))
        except ValueError:
            flaw = Flaw(f"/related/{number}", "wrong_value", "Write a path as attributes.customerId.")
            raise Problem("invalid_body", errors=[flaw]) from None
    return Subject(call.customer_id, wanted.id, types=frozenset(wanted.types), related=tuple(related))


def _counts(answer: Answer) -> dict[str, int]:
    return {section: answer.counts[place] for place, section in SECTIONS.items()}


def _answer(content: dict[str, Any]) -> HttpResponse:
    return json_answer(content, headers={"Cache-Control": "no-store"})
