"""The wire contract for OpenAPI. tests/imports/api/test_contract.py holds every real answer against it."""

# mypy: disable-error-code="assignment"
# A serializer's metaclass takes the fields out of the class, so those named errors or data hide nothing.

from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from customers.enrolment import MAX_OVERLAP_HOURS
from customers.quotas import NAMES
from imports import checking
from imports.api.codes import CODES
from imports.api.quality_schema import Quality
from imports.envelope import CSV, JSON, NDJSON
from imports.json_document import MAX_RECORDS
from imports.mapping.problem import CODES as MAPPING_CODES
from imports.models import ImportJob
from imports.parts import MAX_PARTS


class Metadata(serializers.Serializer[Any]):
    source = serializers.CharField(max_length=100)
    version = serializers.CharField()
    timestamp = serializers.DateTimeField(help_text="ISO 8601")
    recordCount = serializers.IntegerField(
        min_value=0, required=False, help_text="How many records there are: compared in the quality, refuses nothing"
    )


class RecordIn(serializers.Serializer[Any]):
    id = serializers.CharField(min_length=1, max_length=checking.MAX_ID_LENGTH)
    type = serializers.ChoiceField(choices=checking.TYPES)
    attributes = serializers.DictField()
    customFields = serializers.DictField(
        child=serializers.CharField(max_length=checking.MAX_VALUE_LENGTH),
        required=False,
        help_text=f"At most {checking.MAX_CUSTOM_FIELDS}, names of at most {checking.MAX_NAME_LENGTH} characters.",
    )


class RecordsBody(serializers.Serializer[Any]):
    metadata = Metadata()
    records = RecordIn(many=True)


class Progress(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    processed = serializers.IntegerField(help_text="Every record handled, failed ones included")
    failed = serializers.IntegerField()


class Outcomes(serializers.Serializer[Any]):
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    superseded = serializers.IntegerField()
    unprocessed = serializers.IntegerField()


class Links(serializers.Serializer[Any]):
    status = serializers.CharField()
    socket = serializers.CharField()
    results = serializers.CharField()
    cancel = serializers.CharField()
    retry = serializers.CharField()
    undo = serializers.CharField()
    quality = serializers.CharField(help_text="When the import has ended")
    commit = serializers.CharField(required=False, help_text="Of a dry run")
    changes = serializers.CharField(required=False, help_text="Of a dry run")
    parts = serializers.CharField(required=False, help_text="While the import is open for parts")
    close = serializers.CharField(required=False, help_text="While the import is open for parts")


class Accepted(serializers.Serializer[Any]):
    jobId = serializers.UUIDField()
    status = serializers.ChoiceField(choices=ImportJob.Status.values, help_text="pending")
    progress = Progress()
    links = Links()


class OpeningBody(serializers.Serializer[Any]):
    metadata = Metadata()
    expectedRecords = serializers.IntegerField(
        min_value=1, max_value=500_000, required=False, help_text="Checked when the import is closed"
    )
    dryRun = serializers.BooleanField(default=False, help_text="Nothing is stored; it can be committed afterwards")


class PartBody(serializers.Serializer[Any]):
    records = RecordIn(many=True)


class Opened(serializers.Serializer[Any]):
    jobId = serializers.UUIDField()
    status = serializers.ChoiceField(choices=ImportJob.Status.values)
    statusReason = serializers.CharField(allow_null=True, help_text="open, while it takes parts")
    openUntil = serializers.DateTimeField(allow_null=True, help_text="Expires then, unless a part comes")
    progress = Progress()
    links = Links()


class PartReceipt(serializers.Serializer[Any]):
    part = serializers.IntegerField(min_value=1)
    records = serializers.IntegerField(min_value=1, help_text="In this part")
    bytes = serializers.IntegerField(min_value=1, help_text="As it came over the wire")
    totalRecords = serializers.IntegerField(help_text="Of all parts so far")


class ArrivedPart(serializers.Serializer[Any]):
    part = serializers.IntegerField(min_value=1)
    records = serializers.IntegerField(min_value=1)
    bytes = serializers.IntegerField(min_value=1)
    digest = serializers.CharField(help_text="SHA-256 of the bytes on the wire, base64url, as in the signature")


class PartList(serializers.Serializer[Any]):
    parts = ArrivedPart(many=True, help_text="By number")
    totalRecords = serializers.IntegerField()
    openUntil = serializers.DateTimeField(allow_null=True, help_text="Null when the import takes no more parts")


class ClosingBody(serializers.Serializer[Any]):
    parts = serializers.IntegerField(min_value=1, max_value=MAX_PARTS, required=False, help_text="How many were sent")
    records = serializers.IntegerField(
        min_value=1, max_value=MAX_RECORDS, required=False, help_text="How many were sent in all parts"
    )


class Summary(serializers.Serializer[Any]):
    jobId = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=["import", "dryRun", "edit"])
    source = serializers.CharField(allow_blank=True)
    mappings = serializers.DictField(
        child=serializers.IntegerField(min_value=1),
        allow_null=True,
        help_text="Versions of the mappings it runs with, by record type; null while it is open",
    )
    status = serializers.ChoiceField(choices=ImportJob.Status.values)
    statusReason = serializers.CharField(allow_null=True)
    progress = Progress()
    outcomes = Outcomes()
    rate = serializers.FloatField(help_text="Records a second since the first batch began")
    eta = serializers.FloatField(allow_null=True, help_text="Seconds left")
    createdAt = serializers.DateTimeField()
    startedAt = serializers.DateTimeField(allow_null=True)
    finishedAt = serializers.DateTimeField(allow_null=True)
    expiresAt = serializers.DateTimeField()
    undone = serializers.BooleanField(help_text="Whether it was taken back, see links.undo")
    links = Links()


class ImportList(serializers.Serializer[Any]):
    imports = Summary(many=True)
    next = serializers.CharField(allow_null=True, help_text="Give it as `after` for the next page")


class RecordError(serializers.Serializer[Any]):
    record = serializers.CharField(help_text="The id as sent, or #index where there is none")
    error = serializers.CharField()
    index = serializers.IntegerField()
    code = serializers.CharField(
        help_text=f"{', '.join(dict.fromkeys((*checking.CODES, *MAPPING_CODES)))}, or that of a mapping's record rule"
    )
    pointer = serializers.CharField(allow_blank=True, help_text="JSON Pointer into the record as sent")
    target = serializers.CharField(
        required=False, allow_blank=True, help_text="JSON Pointer into the mapped record, for problems of a mapping"
    )


class ErrorCount(serializers.Serializer[Any]):
    code = serializers.CharField()
    pointer = serializers.CharField(allow_blank=True)
    count = serializers.IntegerField()


class TypeCount(serializers.Serializer[Any]):
    processed = serializers.IntegerField()
    failed = serializers.IntegerField()


class Would(serializers.Serializer[Any]):
    create = serializers.IntegerField()
    update = serializers.IntegerField()
    unchanged = serializers.IntegerField()


class Status(Summary):
    errors = RecordError(many=True)
    errorsTruncated = serializers.BooleanField(help_text="True where more than 100 records failed")
    errorSummary = ErrorCount(many=True)
    byType = serializers.DictField(child=TypeCount())
    would = Would(allow_null=True, help_text="What a dry run found; null for an import")
    digest = serializers.CharField(
        allow_null=True,
        help_text="Of a dry run: SHA-256 of its body on the wire, base64url; in parts, of its parts' digests in order",
    )
    committedAs = serializers.UUIDField(allow_null=True, help_text="The import that this dry run was committed as")
    dryRun = serializers.UUIDField(allow_null=True, help_text="The dry run that this import was committed from")


class QuotaUse(serializers.Serializer[Any]):
    name = serializers.ChoiceField(choices=NAMES)
    limit = serializers.IntegerField(help_text="Calls in any window")
    used = serializers.IntegerField(help_text="In the window that ends now")
    remaining = serializers.IntegerField()
    windowSeconds = serializers.IntegerField()
    resetSeconds = serializers.IntegerField(help_text="Until the oldest of these calls leaves the window")


class ImportLimits(serializers.Serializer[Any]):
    running = serializers.IntegerField()
    maxRunning = serializers.IntegerField()
    open = serializers.IntegerField(help_text="Imports that wait for parts; they do not count among the running ones")
    maxOpen = serializers.IntegerField()
    maxBytes = serializers.IntegerField(help_text="Of all parts of an import together, unpacked")


class BodyLimits(serializers.Serializer[Any]):
    maxBytes = serializers.IntegerField(help_text="On the wire")
    maxUnpackedBytes = serializers.IntegerField()
    maxRecords = serializers.IntegerField()
    maxRecordBytes = serializers.IntegerField()
    maxDepth = serializers.IntegerField(help_text="Levels of nesting in a record")
    maxCustomFields = serializers.IntegerField()


class Limits(serializers.Serializer[Any]):
    quotas = QuotaUse(many=True)
    imports = ImportLimits()
    body = BodyLimits()


class Change(serializers.Serializer[Any]):
    pointer = serializers.CharField(allow_blank=True, help_text="JSON Pointer into the record; empty for all of it")
    before = serializers.JSONField(required=False, help_text="Missing where nothing is stored there")
    after = serializers.JSONField(required=False, help_text="Missing where nothing would be there")


class ChangedRecord(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    record = serializers.CharField()
    type = serializers.ChoiceField(choices=checking.TYPES)
    outcome = serializers.ChoiceField(choices=["created", "updated"])
    changes = Change(many=True)


class Commit(serializers.Serializer[Any]):
    digest = serializers.RegexField(r"^[A-Za-z0-9_-]{43}$", help_text="`digest` of the dry run's status")


class Verdict(serializers.Serializer[Any]):
    valid = serializers.BooleanField()
    total = serializers.IntegerField()
    failed = serializers.IntegerField()
    superseded = serializers.IntegerField()
    errors = RecordError(many=True)
    errorsTruncated = serializers.BooleanField()
    errorSummary = ErrorCount(many=True)
    would = Would()
    changes = ChangedRecord(many=True, required=False, help_text="Where asked for")
    changesTruncated = serializers.BooleanField(
        required=False, help_text="True where more than 1,000 records, or 4 MB of them, would change"
    )
    quality = Quality()


class Lookup(serializers.Serializer[Any]):
    type = serializers.ChoiceField(choices=checking.TYPES)
    id = serializers.CharField(min_length=1, max_length=checking.MAX_ID_LENGTH)


class Person(serializers.Serializer[Any]):
    id = serializers.CharField(min_length=1, max_length=checking.MAX_ID_LENGTH)
    types = serializers.ListField(
        child=serializers.ChoiceField(choices=[*checking.TYPES, "unknown"]),
        min_length=1,
        max_length=4,
        help_text="What the id stands for; unknown are records that name no known type",
    )
    related = serializers.ListField(
        child=serializers.CharField(max_length=1000),
        max_length=10,
        required=False,
        help_text="Paths in other records at which the id stands, such as attributes.customerId",
    )


class PersonalCounts(serializers.Serializer[Any]):
    records = serializers.IntegerField(help_text="Stored now")
    earlierVersions = serializers.IntegerField(help_text="What later imports replaced, while that can be undone")
    failedRecords = serializers.IntegerField()
    sent = serializers.IntegerField(help_text="Places in what imports sent, while that is kept")


class Kept(serializers.Serializer[Any]):
    type = serializers.ChoiceField(choices=checking.TYPES, allow_null=True)
    isRelated = serializers.BooleanField(help_text="Found by a path of `related`")
    jobId = serializers.UUIDField(help_text="What brought it")
    index = serializers.IntegerField()
    at = serializers.DateTimeField()
    data = serializers.JSONField()


class KeptRecord(Kept):
    createdAt = serializers.DateTimeField()
    updatedAt = serializers.DateTimeField()


class KeptFailure(Kept):
    state = serializers.CharField()
    code = serializers.CharField()
    pointer = serializers.CharField(allow_blank=True)
    message = serializers.CharField()
    edited = serializers.JSONField(required=False, help_text="What was put in its place")


class KeptAsSent(Kept):
    kind = serializers.ChoiceField(choices=["import", "dryRun", "edit"])
    outcome = serializers.CharField()


class PersonalData(serializers.Serializer[Any]):
    customer = serializers.CharField()
    id = serializers.CharField()
    exportedAt = serializers.DateTimeField()
    counts = PersonalCounts()
    records = KeptRecord(many=True)
    earlierVersions = KeptRecord(many=True)
    failedRecords = KeptFailure(many=True)
    sent = KeptAsSent(many=True)
    request = serializers.UUIDField(help_text="By which the audit trail knows it")
    unreadable = serializers.IntegerField(help_text="Ciphertexts that did not open and may hold more")


class Erased(serializers.Serializer[Any]):
    request = serializers.UUIDField(help_text="By which the audit trail knows it")
    counts = PersonalCounts()
    unreadable = serializers.IntegerField(help_text="Ciphertexts that did not open and may hold more")


class Chapter(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    jobId = serializers.UUIDField()
    index = serializers.IntegerField()
    outcome = serializers.ChoiceField(choices=["created", "updated", "unchanged", "failed"])
    code = serializers.CharField(allow_null=True)


class Origin(serializers.Serializer[Any]):
    jobId = serializers.UUIDField()
    index = serializers.IntegerField()


class FoundRecord(serializers.Serializer[Any]):
    record = RecordIn(allow_null=True, help_text="Null for a record that was only ever refused")
    origin = Origin(allow_null=True)
    story = Chapter(many=True)


class Rotation(serializers.Serializer[Any]):
    overlapHours = serializers.IntegerField(
        min_value=0,
        max_value=MAX_OVERLAP_HOURS,
        default=MAX_OVERLAP_HOURS,
        help_text="How long the old key keeps working, unless it ends sooner by itself",
    )


class ReplacedKey(serializers.Serializer[Any]):
    keyId = serializers.CharField()
    expiresAt = serializers.DateTimeField()


class RotatedKey(serializers.Serializer[Any]):
    keyId = serializers.CharField()
    secret = serializers.CharField(help_text="Shown this once")
    scopes = serializers.ListField(child=serializers.CharField())
    expiresAt = serializers.DateTimeField()
    replaces = ReplacedKey()


class ResultLine(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    record = serializers.CharField(allow_null=True)
    type = serializers.ChoiceField(choices=checking.TYPES, allow_null=True)
    outcome = serializers.ChoiceField(
        choices=["created", "updated", "unchanged", "superseded", "failed", "unprocessed"]
    )
    code = serializers.CharField(allow_null=True)
    pointer = serializers.CharField(allow_null=True, help_text="JSON Pointer into the record as sent")
    target = serializers.CharField(
        required=False, allow_blank=True, help_text="JSON Pointer into the mapped record, for problems of a mapping"
    )
    message = serializers.CharField(allow_null=True)
    data = serializers.JSONField(required=False, help_text="The record as sent, for failed and unprocessed ones")


class Fault(serializers.Serializer[Any]):
    pointer = serializers.CharField(allow_blank=True)
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemDocument(serializers.Serializer[Any]):
    """RFC 9457."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    code = serializers.ChoiceField(choices=sorted(CODES))
    step = serializers.ChoiceField(choices=["form", "clock", "digest", "replay", "signature"], required=False)
    requestId = serializers.CharField(required=False)
    errors = Fault(many=True, required=False)


RECORDS_BODY: Final = {JSON: RecordsBody, NDJSON: OpenApiTypes.BINARY, CSV: OpenApiTypes.BINARY}
OPENING_BODY: Final = {JSON: OpeningBody}
PART_BODY: Final = {JSON: PartBody, NDJSON: OpenApiTypes.BINARY, CSV: OpenApiTypes.BINARY}
CLOSING_BODY: Final = {JSON: ClosingBody}
CSV_METADATA: Final = [
    OpenApiParameter(name, str, description=f"metadata.{name} of a text/csv body")
    for name in ("source", "version", "timestamp")
] + [
    OpenApiParameter("recordCount", int, description="metadata.recordCount of a text/csv body"),
    OpenApiParameter("type", str, enum=checking.TYPES, description="Type of a text/csv body without a type column"),
]
CSV_TYPE: Final = CSV_METADATA[-1]
PART_NUMBER: Final = OpenApiParameter(
    "number", int, OpenApiParameter.PATH, description="1 to 10,000; the order of the import's records"
)
IDEMPOTENCY_KEY: Final = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="The same key and body give the same job for 24 hours",
)
RETRY_POLICY: Final = [
    OpenApiParameter("retryTries", int, description="0 to 20: how often a passing failure is tried again"),
    OpenApiParameter("retryBaseSeconds", int, description="1 to 3600: the longest pause before the first of these"),
]
CHANGES: Final = OpenApiParameter(
    "changes", bool, description="true: with the values that would change, which takes the scope records:read too"
)
LIST_PARAMETERS: Final = [
    OpenApiParameter("status", str, enum=ImportJob.Status.values),
    OpenApiParameter("after", str, description="`next` of the page before"),
    OpenApiParameter("limit", int, description="1 to 50"),
]
SELECTION: Final = OpenApiParameter(
    "selection", str, OpenApiParameter.PATH, enum=["succeeded", "failed", "unprocessed"]
)


def problems(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    """The refusals a call may answer with, each naming its codes."""
    return {
        (status, "application/problem+json"): OpenApiResponse(
            ProblemDocument,
            description=", ".join(sorted(name for name, code in CODES.items() if code.status == status)),
        )
        for status in statuses
    }
