"""A customer's jobs, newest first, in pages that stay right while new ones come in."""

import base64
import struct
from dataclasses import dataclass

from imports.models import ImportJob
from imports.refusal import Refusal

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is the cursor of the following page, None on the last."""

    jobs: list[ImportJob]
    next: str | None


def list_jobs(*, customer_id: int, status: str | None = None, after: str | None = None, limit: int = PAGE_SIZE) -> Page:
    """Up to `limit` (1 to 50) jobs older than the cursor `after`. Raises Refusal for an unknown status or cursor."""
    jobs = ImportJob.objects.filter(customer_id=customer_id).exclude(kind=ImportJob.Kind.EDIT)
    jobs = jobs.select_related("undo").order_by("-id")
    if status is not None:
        if status not in ImportJob.Status.values:
            raise unknown("status", f"status must be one of {', '.join(ImportJob.Status.values)}.")
        jobs = jobs.filter(status=status)
    if after:
        jobs = jobs.filter(id__lt=number_of(after))
    found = list(jobs[: limit + 1])
    return Page(found[:limit], cursor_of(found[limit - 1].pk) if len(found) > limit else None)


def cursor_of(number: int) -> str:
    """A row's number as the opaque word that callers hand back."""
    return base64.urlsafe_b64encode(struct.pack(">q", number)).decode().rstrip("=")


def number_of(cursor: str) -> int:
    """What `cursor_of` was given; raises Refusal for anything else."""
    try:
        (number,) = struct.unpack(">q", base64.urlsafe_b64decode(cursor + "="))
    except (ValueError, struct.error):
        raise unknown("after", "after must be the `next` of an earlier page.") from None
    return int(number)


def unknown(parameter: str, detail: str) -> Refusal:
    """A query parameter with a value that the list does not know."""
    return Refusal("invalid_parameter", detail, errors=((f"/{parameter}", "invalid", detail),))
