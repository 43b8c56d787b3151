"""Answers as JSON, and the caller's own jobs: what every endpoint needs and nothing else."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from django.http import Http404, HttpResponse
from rest_framework.request import Request

from imports.api.authentication import call_of
from imports.models import ImportJob

_encode = msgspec.json.encode


def json_answer(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """`content` as application/json; msgspec.Raw in it goes out to the byte."""
    return HttpResponse(_encode(content), status=status, content_type="application/json", headers=headers)


def own_job(request: Request, job_id: UUID) -> ImportJob:
    """The caller's job; Http404 for one that does not exist and for another customer's alike."""
    job = ImportJob.objects.select_related("undo").filter(uuid=job_id, customer_id=call_of(request).customer_id).first()
    if job is None:
        raise Http404
    return job
