"""Undos for OpenAPI, beside imports/api/schema.py."""

# A serializer's metaclass takes the fields out of the class, so those named state or total hide nothing.

from typing import Any, Final

from rest_framework import serializers

from imports import checking
from imports.models import KeptRecord, Undo

REASONS: Final = KeptRecord.Reason.values


class UndoBody(serializers.Serializer[Any]):
    preview = serializers.BooleanField(required=False, help_text="Only say what it would do")


class KeptBecause(serializers.Serializer[Any]):
    """Only reasons that occur."""

    changed = serializers.IntegerField(required=False, help_text="A later import changed the record")
    edited = serializers.IntegerField(required=False, help_text="Somebody edited a failed record")
    confirmed = serializers.IntegerField(required=False, help_text="A later import brought the same content")
    superseded = serializers.IntegerField(required=False, help_text="An older import's record was left out for it")
    no_version = serializers.IntegerField(required=False, help_text="What it held before is not known")


class Plan(serializers.Serializer[Any]):
    remove = serializers.IntegerField(help_text="Records that the import created")
    restore = serializers.IntegerField(help_text="Records that it updated")
    keep = serializers.IntegerField(help_text="Records that stay as they are")
    gone = serializers.IntegerField(help_text="Records that are no longer there")
    discard = serializers.IntegerField(help_text="Failed records that are given up")
    keptBecause = KeptBecause()


class UndoCounts(serializers.Serializer[Any]):
    total = serializers.IntegerField(help_text="Records of the import")
    done = serializers.IntegerField(help_text="Of these, how many it has gone through, from the last to the first")
    removed = serializers.IntegerField()
    restored = serializers.IntegerField()
    kept = serializers.IntegerField()
    gone = serializers.IntegerField()
    discarded = serializers.IntegerField(help_text="Failed records that were given up")


class UndoLinks(serializers.Serializer[Any]):
    self = serializers.CharField()
    kept = serializers.CharField()
    status = serializers.CharField()


class UndoState(serializers.Serializer[Any]):
    jobId = serializers.UUIDField()
    state = serializers.ChoiceField(choices=Undo.State.values)
    stateReason = serializers.CharField(allow_null=True, help_text="Why it failed")
    counts = UndoCounts()
    keptBecause = KeptBecause()
    startedBy = serializers.CharField()
    createdAt = serializers.DateTimeField()
    finishedAt = serializers.DateTimeField(allow_null=True)
    links = UndoLinks()


class KeptLine(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="0-based position in the import")
    record = serializers.CharField(allow_null=True, help_text="The id as sent")
    type = serializers.ChoiceField(choices=checking.TYPES, allow_null=True)
    reason = serializers.ChoiceField(choices=REASONS)
    jobId = serializers.UUIDField(allow_null=True, help_text="The import or edit that it is kept for")
