"""Retries, failed records and redrives for OpenAPI, beside imports/api/schema.py."""

# mypy: disable-error-code="assignment"
# A serializer's metaclass takes the fields out of the class, so those named state or data hide nothing.

from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from imports import checking
from imports.api.schema import ErrorCount, RecordIn
from imports.failure_listing import STATES
from imports.models import FailedRecord, Redrive
from imports.redriving import MAX_PER_SECOND

WANTED_STATES: Final = ("open", "discarded")


class FailedRecordLinks(serializers.Serializer[Any]):
    self = serializers.CharField()
    retry = serializers.CharField()
    edit = serializers.CharField()
    discard = serializers.CharField()


class FailedRecordLine(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="The job's id, a hyphen and the index")
    jobId = serializers.UUIDField()
    index = serializers.IntegerField()
    record = serializers.CharField(allow_null=True, help_text="The id as sent")
    type = serializers.ChoiceField(choices=checking.TYPES, allow_null=True)
    stage = serializers.ChoiceField(choices=FailedRecord.Stage.values)
    code = serializers.CharField()
    pointer = serializers.CharField(allow_blank=True, help_text="Names that you chose stand as *")
    message = serializers.CharField()
    category = serializers.ChoiceField(choices=FailedRecord.Category.values)
    state = serializers.ChoiceField(choices=STATES)
    attempt = serializers.IntegerField(help_text="What an edit must name")
    isEdited = serializers.BooleanField()
    nextAttemptAt = serializers.DateTimeField(allow_null=True)
    lastAttemptAt = serializers.DateTimeField(allow_null=True)
    discardReason = serializers.ChoiceField(choices=FailedRecord.DiscardReason.values, allow_null=True)
    resolvedBy = serializers.UUIDField(allow_null=True, help_text="The job, or the edit, that stored it")
    createdAt = serializers.DateTimeField()
    updatedAt = serializers.DateTimeField()
    links = FailedRecordLinks()


class FailedRecordInFull(FailedRecordLine):
    data = serializers.JSONField(help_text="The record as sent; null once it has expired or was erased")
    edited = serializers.JSONField(help_text="What was put in its place; null where nothing was")


class FailedRecordList(serializers.Serializer[Any]):
    failedRecords = FailedRecordLine(many=True)
    next = serializers.CharField(allow_null=True, help_text="Give it as `after` for the next page")


class Edit(serializers.Serializer[Any]):
    record = RecordIn()
    attempt = serializers.IntegerField(min_value=1, help_text="`attempt` of the failed record as you saw it")


class Discard(serializers.Serializer[Any]):
    reason = serializers.ChoiceField(
        choices=[reason for reason in FailedRecord.DiscardReason.values if reason != FailedRecord.DiscardReason.UNDONE]
    )


class Filter(serializers.Serializer[Any]):
    job = serializers.UUIDField(required=False)
    code = serializers.CharField(required=False, max_length=50)
    type = serializers.ChoiceField(choices=checking.TYPES, required=False)
    state = serializers.ChoiceField(choices=WANTED_STATES, required=False, help_text="open unless given")


class RedriveBody(serializers.Serializer[Any]):
    filter = Filter(required=False)
    sample = serializers.IntegerField(min_value=1, required=False, help_text="Try so many, then pause")
    perSecond = serializers.IntegerField(
        min_value=1, max_value=MAX_PER_SECOND, required=False, help_text="At most so many in any second"
    )
    preview = serializers.BooleanField(required=False, help_text="Only say what it would do")


class Preview(serializers.Serializer[Any]):
    count = serializers.IntegerField()
    reasons = ErrorCount(many=True)
    oldest = serializers.DateTimeField(allow_null=True)
    newest = serializers.DateTimeField(allow_null=True)


class WantedFilter(serializers.Serializer[Any]):
    job = serializers.UUIDField(allow_null=True)
    code = serializers.CharField(allow_null=True)
    type = serializers.CharField(allow_null=True)
    state = serializers.ChoiceField(choices=WANTED_STATES)


class RedriveCounts(serializers.Serializer[Any]):
    total = serializers.IntegerField(help_text="Records that matched when it began")
    done = serializers.IntegerField()
    succeeded = serializers.IntegerField()
    failedAgain = serializers.IntegerField()
    left = serializers.IntegerField()


class RedriveLinks(serializers.Serializer[Any]):
    self = serializers.CharField()
    pause = serializers.CharField()
    resume = serializers.CharField()
    cancel = serializers.CharField()


class RedriveState(serializers.Serializer[Any]):
    redriveId = serializers.UUIDField()
    state = serializers.ChoiceField(choices=Redrive.State.values)
    stateReason = serializers.CharField(allow_null=True, help_text="sample: it paused after its sample")
    filter = WantedFilter()
    sample = serializers.IntegerField(allow_null=True)
    perSecond = serializers.IntegerField(allow_null=True)
    counts = RedriveCounts()
    startedBy = serializers.CharField()
    createdAt = serializers.DateTimeField()
    finishedAt = serializers.DateTimeField(allow_null=True)
    links = RedriveLinks()


LIST_PARAMETERS: Final = [
    OpenApiParameter("job", str, description="The id of an import"),
    OpenApiParameter("code", str, description="Such as unknown_type"),
    OpenApiParameter("state", str, enum=STATES),
    OpenApiParameter("after", str, description="`next` of the page before"),
    OpenApiParameter("limit", int, description="1 to 50"),
]
