from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from redis import RedisError
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from imports import tickets
from imports.api import schema
from imports.api.answers import json_answer, own_job
from imports.api.authentication import call_of
from imports.api.problems import Problem
from imports.progress import wire_time


class SocketTicket(serializers.Serializer[Any]):
    ticket = serializers.CharField(help_text="Opens the socket once")
    url = serializers.CharField(help_text="The socket's address, the ticket in it")
    expiresAt = serializers.DateTimeField()  # noqa: N815


class SocketTicketView(APIView):
    """A ticket for the job's live socket: one use, 60 seconds.

    It changes nothing and gives no more than the key may read anyway, so it leaves no audit event.
    """

    required_scope = "imports:read"

    @extend_schema(
        operation_id="issueSocketTicket",
        summary="A ticket for an import's live socket",
        request=None,
        responses={201: SocketTicket, **schema.problems(401, 403, 404, 429, 503)},
    )
    def post(self, request: Request, job_id: UUID) -> HttpResponse:
        job = own_job(request, job_id)
        try:
            ticket = tickets.issue(job, call_of(request).customer_id, timezone.now())
        except RedisError as err:
            raise Problem(
                "unavailable", "No ticket can be made just now. Ask for the import's status until then."
            ) from err
        scheme = "wss" if request.is_secure() else "ws"
        return json_answer(
            {
                "ticket": ticket.token,
                "url": f"{scheme}://{request.get_host()}/ws/imports/{job.uuid}?ticket={ticket.token}",
                "expiresAt": wire_time(ticket.expires_at),
            },
            status=201,
            headers={"Cache-Control": "no-store"},
        )
