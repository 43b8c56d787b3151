"""What a redrive is about: which failed records, how many of them and why, and how far it is."""

from dataclasses import dataclass
from typing import Final, TypedDict

from django.db.models import Count, Max, Min, QuerySet

from imports import undoing
from imports.models import FailedRecord, ImportJob, Redrive
from imports.progress import wire_time

REASONS: Final = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which failed records of a customer. `state` is open or discarded."""

    customer_id: int
    job: ImportJob | None = None
    code: str = ""
    type: str = ""
    state: str = FailedRecord.State.OPEN.value

    def failures(self) -> QuerySet[FailedRecord]:
        """None of an import that was undone, or of which the content has been removed."""
        found = FailedRecord.objects.filter(
            ~undoing.is_undone(), customer_id=self.customer_id, state=self.state, payload__isnull=False
        )
        if self.job is not None:
            found = found.filter(job=self.job)
        if self.code:
            found = found.filter(code=self.code)
        return found.filter(type=self.type) if self.type else found


class Reason(TypedDict):
    code: str
    pointer: str
    count: int


class Preview(TypedDict):
    count: int
    reasons: list[Reason]
    oldest: str | None
    newest: str | None


def preview(wanted: Wanted) -> Preview:
    """What a redrive of these would try, as it stands now; nothing is written."""
    found = wanted.failures().order_by()
    bounds = found.aggregate(count=Count("pk"), oldest=Min("created_at"), newest=Max("created_at"))
    reasons = found.values_list("code", "pointer").annotate(count=Count("pk")).order_by("-count", "code", "pointer")
    return {
        "count": bounds["count"],
        "reasons": [{"code": code, "pointer": pointer, "count": count} for code, pointer, count in reasons[:REASONS]],
        "oldest": wire_time(bounds["oldest"]) if bounds["oldest"] else None,
        "newest": wire_time(bounds["newest"]) if bounds["newest"] else None,
    }


class Counts(TypedDict):
    total: int
    done: int
    succeeded: int
    failedAgain: int
    left: int


class RedriveState(TypedDict):
    """`filter` as it was asked for; `stateReason` is sample where it paused after its sample."""

    redriveId: str
    state: str
    stateReason: str | None
    filter: dict[str, str | None]
    sample: int | None
    perSecond: int | None
    counts: Counts
    startedBy: str
    createdAt: str
    finishedAt: str | None
    links: dict[str, str]


def describe(redrive: Redrive) -> RedriveState:
    """As its owner sees it; counts only."""
    here = f"/api/v1/redrives/{redrive.uuid}"
    return {
        "redriveId": str(redrive.uuid),
        "state": redrive.state,
        "stateReason": redrive.state_reason or None,
        "filter": {
            "job": str(redrive.wanted_job.uuid) if redrive.wanted_job else None,
            "code": redrive.wanted_code or None,
            "type": redrive.wanted_type or None,
            "state": redrive.wanted_state,
        },
        "sample": redrive.sample,
        "perSecond": redrive.per_second,
        "counts": {
            "total": redrive.total,
            "done": redrive.done,
            "succeeded": redrive.succeeded,
            "failedAgain": redrive.failed_again,
            "left": redrive.left,
        },
        "startedBy": redrive.actor_id,
        "createdAt": wire_time(redrive.created_at),
        "finishedAt": wire_time(redrive.finished_at) if redrive.finished_at else None,
        "links": {"self": here, **{name: f"{here}/{name}" for name in ("pause", "resume", "cancel")}},
    }
