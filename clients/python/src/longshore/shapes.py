"""The JSON that the server answers, member by member as the wire names it."""

from typing import Any, Literal, NotRequired, TypedDict

Status = Literal["pending", "processing", "completed", "failed"]
Kind = Literal["succeeded", "failed", "unprocessed"]
Download = Literal["succeeded", "failed", "unprocessed", "changes"]


class Counts(TypedDict):
    """`processed` counts every record handled, failed ones included."""

    total: int
    processed: int
    failed: int


class RecordError(TypedDict):
    """One record that failed, and why."""

    record: str
    error: str
    index: NotRequired[int]
    code: NotRequired[str]
    pointer: NotRequired[str]
    target: NotRequired[str]


class Reason(TypedDict):
    """How many records failed for the same reason."""

    code: str
    pointer: str
    count: int


class Import(TypedDict):
    """An import as `GET /imports/{jobId}` tells it; `would`, `digest` and `committedAs` where its kind is dryRun.

    `dryRun` is the one that an import was committed from.
    """

    status: Status
    progress: Counts
    errors: list[RecordError]
    jobId: NotRequired[str]
    kind: NotRequired[str]
    mappings: NotRequired[dict[str, int] | None]
    statusReason: NotRequired[str | None]
    errorsTruncated: NotRequired[bool]
    errorSummary: NotRequired[list[Reason]]
    outcomes: NotRequired[dict[str, int]]
    would: NotRequired[dict[str, int] | None]
    digest: NotRequired[str | None]
    committedAs: NotRequired[str | None]
    dryRun: NotRequired[str | None]
    byType: NotRequired[dict[str, Any]]
    rate: NotRequired[float | None]
    eta: NotRequired[Any]
    createdAt: NotRequired[str]
    startedAt: NotRequired[str | None]
    finishedAt: NotRequired[str | None]
    expiresAt: NotRequired[str | None]
    undone: NotRequired[bool]
    links: NotRequired[dict[str, str]]


class Change(TypedDict):
    """A place and its values; what is missing is not there. The pointer "" means all of the record."""

    pointer: str
    before: NotRequired[Any]
    after: NotRequired[Any]


class ChangedRecord(TypedDict):
    """A record that a dry run would create or update."""

    index: int
    record: str
    type: str
    outcome: Literal["created", "updated"]
    changes: list[Change]


class Verdict(TypedDict):
    """What `POST /imports/validate` found; nothing was stored."""

    valid: bool
    total: int
    failed: int
    errors: list[RecordError]
    errorSummary: NotRequired[list[Reason]]
    would: NotRequired[dict[str, int]]
    changes: NotRequired[list[ChangedRecord]]
    changesTruncated: NotRequired[bool]
    quality: NotRequired["Quality"]


class ResultLine(TypedDict):
    """One record of an import; `data` is the record as sent, where it was not stored."""

    index: int
    record: str | None
    outcome: str
    type: NotRequired[str | None]
    code: NotRequired[str | None]
    pointer: NotRequired[str | None]
    message: NotRequired[str | None]
    target: NotRequired[str]
    data: NotRequired[Any]


class TypeQuality(TypedDict):
    """Of a whole import or of one type: shares from 0 to 1, None where there was nothing to judge by."""

    score: float | None
    trend: Literal["better", "worse", "steady"] | None
    dimensions: dict[str, float | None]
    counts: dict[str, int]
    outcomes: dict[str, int]


class FieldQuality(TypedDict):
    """Of one field of a mapping."""

    type: str
    target: str
    records: int
    missing: int
    unfit: int
    completeness: float | None
    validity: float | None
    score: float | None
    trend: Literal["better", "worse", "steady"] | None


class QualityReason(TypedDict):
    """How many records have one problem; a record may have several."""

    type: str
    code: str
    records: int


class Quality(TypeQuality):
    """How good what an import brought was, as it came; `announced` is how many records its metadata said."""

    announced: int | None
    received: int
    byType: dict[str, TypeQuality]
    fields: list[FieldQuality]
    reasons: list[QualityReason]


class FailedRecord(TypedDict):
    """A record that failed, without what was sent; `attempt` is what an edit must name."""

    id: str
    jobId: str
    index: int
    record: str | None
    code: str
    pointer: str
    message: str
    state: Literal["open", "retrying", "resolved", "discarded"]
    attempt: int
    type: NotRequired[str | None]
    category: NotRequired[str]
    isEdited: NotRequired[bool]
    nextAttemptAt: NotRequired[str | None]
    lastAttemptAt: NotRequired[str | None]
    discardReason: NotRequired[str | None]
    resolvedBy: NotRequired[str | None]
    createdAt: NotRequired[str]
    updatedAt: NotRequired[str]
    links: NotRequired[dict[str, str]]


class RedriveCounts(TypedDict):
    """`left` is what is still to be tried."""

    total: int
    done: int
    succeeded: int
    failedAgain: int
    left: int


class Redrive(TypedDict):
    """Failed records being tried again together."""

    redriveId: str
    state: Literal["running", "paused", "cancelled", "done"]
    counts: RedriveCounts
    stateReason: NotRequired[str | None]
    filter: NotRequired[dict[str, str | None]]
    sample: NotRequired[int | None]
    perSecond: NotRequired[int | None]
    startedBy: NotRequired[str]
    createdAt: NotRequired[str]
    finishedAt: NotRequired[str | None]
    links: NotRequired[dict[str, str]]


class UndoPlan(TypedDict):
    """What an undo would do; `keptBecause` counts the records to keep by reason."""

    remove: int
    restore: int
    keep: int
    gone: int
    discard: int
    keptBecause: dict[str, int]


class UndoCounts(TypedDict):
    """`done` of the import's `total` records have been gone through."""

    total: int
    done: int
    removed: int
    restored: int
    kept: int
    gone: int
    discarded: int


class Undo(TypedDict):
    """An import being taken back, or taken back."""

    jobId: str
    state: Literal["running", "done", "failed"]
    counts: UndoCounts
    keptBecause: dict[str, int]
    stateReason: NotRequired[str | None]
    startedBy: NotRequired[str]
    createdAt: NotRequired[str]
    finishedAt: NotRequired[str | None]
    links: NotRequired[dict[str, str]]


class KeptLine(TypedDict):
    """A record that an undo left as it is, and why; `jobId` is the import or edit that it is kept for."""

    index: int
    record: str | None
    type: str | None
    reason: Literal["changed", "edited", "confirmed", "superseded", "no_version"]
    jobId: str | None


class Found(TypedDict):
    """A stored record, where it came from and what became of it."""

    record: dict[str, Any]
    origin: dict[str, Any]
    story: list[dict[str, Any]]


class Verification(TypedDict):
    """What the server made of a signature. `step` is None where it is valid; `skewSeconds` is its time less ours."""

    valid: bool
    step: str | None
    serverTime: NotRequired[int]
    skewSeconds: NotRequired[float | None]
    stringToSign: NotRequired[str | None]
