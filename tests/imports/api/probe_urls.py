"""A small URL tree behind the real gate: it shows what a view gets, so that the gate is tested by itself."""

import hashlib
import os
from pathlib import Path
from typing import Any

from django.db import OperationalError, connection
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audit.context import current_context
from imports.api import codes
from imports.api.authentication import call_of
from imports.api.verify import VerifyView


class ProbeView(APIView):
    """What the view sees of a call."""

    required_scope = {"GET": "imports:read", "POST": "imports:write", "DELETE": "keys:rotate"}

    def get(self, request: Request) -> Response:
        return self._seen(request)

    def post(self, request: Request) -> Response:
        return self._seen(request)

    def delete(self, request: Request) -> Response:
        return self._seen(request)

    def _seen(self, request: Request) -> Response:
        call, context = call_of(request), current_context()
        return Response(
            {
                "user": getattr(request.user, "key_id", None),
                "customer": call.customer_id,
                "size": len(call.body),
                "sizeOnWire": call.size_on_wire,
                "sha256": hashlib.sha256(call.body).hexdigest(),
                "contentType": call.content_type,
                "requestId": call.request_id,
                "sourceIp": call.source_ip,
                "actor": f"{context.actor.kind}:{context.actor.id}" if context.actor else None,
                "contextRequestId": context.request_id,
                "djangoBody": len(request._request.body),
                "openFiles": _regular_files(),
            }
        )


class CountView(APIView):
    """Cheap, for measuring the gate."""

    required_scope = {"GET": "imports:read", "POST": "imports:write"}

    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(b"{}", content_type="application/json")

    def post(self, request: Request) -> HttpResponse:
        return HttpResponse(b'{"size":%d}' % len(call_of(request).body), content_type="application/json")


class FailingView(APIView):
    required_scope = "imports:read"

    def get(self, request: Request, how: str) -> Response:
        return Response(fail(how))


class ForgetfulView(APIView):
    """Says no scope."""

    def get(self, request: Request) -> Response:
        return Response({})


def failing_page(request: HttpRequest, how: str) -> HttpResponse:
    fail(how)
    return HttpResponse("fine")


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("a page")


def fail(how: str) -> Any:
    if how == "bug":
        raise ValueError("a payload's secret")
    if how == "away":
        raise OperationalError("the connection is closed")
    if how == "missing":
        raise Http404
    with connection.cursor() as cursor:
        cursor.execute("select 1")
        return cursor.fetchone()


def _regular_files() -> list[str]:
    """Paths of the regular files this process has open for writing: a spooled body would be one."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
            flags = int(Path(f"/proc/self/fdinfo/{entry.name}").read_text().split("flags:")[1].split()[0], 8)
        except OSError:
            continue
        if target.startswith("/") and flags & os.O_ACCMODE and not target.startswith(("/dev/", "/proc/")):
            found.append(target)
    return found


urlpatterns = [
    path("api/v1/auth/verify", VerifyView.as_view()),
    path("api/v1/probe", ProbeView.as_view()),
    path("api/v1/count", CountView.as_view()),
    path("api/v1/imports/bulk", CountView.as_view()),
    path("api/v1/imports/validate", ProbeView.as_view()),
    path("api/v1/forgetful", ForgetfulView.as_view()),
    path("api/v1/fails/<slug:how>", FailingView.as_view()),
    path("api/docs/errors", codes.page),
    path("page", page),
    path("page/<slug:how>", failing_page),
]

handler400 = "imports.api.fallbacks.bad_request"
handler403 = "imports.api.fallbacks.permission_denied"
handler404 = "imports.api.fallbacks.not_found"
handler500 = "imports.api.fallbacks.server_error"
