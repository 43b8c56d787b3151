"""The wire contract of quality for OpenAPI."""

# mypy: disable-error-code="assignment"
# A serializer's metaclass takes the fields out of the class, so one named `fields` hides nothing.

from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from imports import checking
from imports.quality.report import COUNTED

_TRENDS: Final = ["better", "worse", "steady"]
_TREND_HELP: Final = "Against the mean of the imports before; null where there are none"


class _Share(serializers.FloatField):
    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=0, max_value=1, **{"allow_null": True, **options})


class Dimensions(serializers.Serializer[Any]):
    """Each from 0 to 1; null where there was nothing to judge it by."""

    recordCount = _Share(help_text="Records announced against those received, of the whole import alone")
    keyCompleteness = _Share(help_text="Records with a usable id and type")
    uniqueness = _Share(help_text="Of these, records that no later one of the same body replaces")
    typeValidity = _Share(help_text="Of these, records whose form and values fit")
    businessRules = _Share(help_text="Of these, records that break no rule of the mapping")
    completeness = _Share(help_text="Fields of the mapping that had a value")


class TypeQuality(serializers.Serializer[Any]):
    score = _Share(help_text="The product of the dimensions that are not null")
    trend = serializers.ChoiceField(choices=_TRENDS, allow_null=True, help_text=_TREND_HELP)
    dimensions = Dimensions()
    counts = serializers.DictField(child=serializers.IntegerField(min_value=0), help_text=", ".join(COUNTED))
    outcomes = serializers.DictField(
        child=serializers.IntegerField(min_value=0),
        help_text="created, updated and unchanged, as they were when the import ended",
    )


class FieldQuality(serializers.Serializer[Any]):
    type = serializers.ChoiceField(choices=checking.TYPES)
    target = serializers.CharField(help_text="As the mapping names it")
    records = serializers.IntegerField(help_text="That came to the mapping")
    missing = serializers.IntegerField(help_text="Of these, without a value")
    unfit = serializers.IntegerField(help_text="Of these, with a value that is none of the field's")
    completeness = _Share()
    validity = _Share()
    score = _Share(help_text="completeness times validity")
    trend = serializers.ChoiceField(choices=_TRENDS, allow_null=True, help_text=_TREND_HELP)


class Reason(serializers.Serializer[Any]):
    type = serializers.CharField(help_text="unknown for records of no type of ours")
    code = serializers.CharField()
    records = serializers.IntegerField(help_text="That have this problem; a record may have several")


class Quality(TypeQuality):
    announced = serializers.IntegerField(allow_null=True, help_text="recordCount of the metadata, or expectedRecords")
    received = serializers.IntegerField()
    byType = serializers.DictField(child=TypeQuality())
    fields = FieldQuality(many=True)
    reasons = Reason(many=True)


class ScoredJob(serializers.Serializer[Any]):
    jobId = serializers.UUIDField()
    finishedAt = serializers.DateTimeField(allow_null=True)
    records = serializers.IntegerField()
    score = _Share()
    dimensions = Dimensions()


class FieldHistory(FieldQuality):
    scores = serializers.ListField(
        child=serializers.FloatField(allow_null=True), help_text="In the order of jobs; null where it had no such field"
    )


class History(serializers.Serializer[Any]):
    type = serializers.ChoiceField(choices=checking.TYPES, allow_null=True)
    score = _Share(help_text="Of the newest")
    trend = serializers.ChoiceField(choices=_TRENDS, allow_null=True, help_text=_TREND_HELP)
    jobs = ScoredJob(many=True, help_text="Newest first, dry runs left out")
    fields = FieldHistory(many=True, help_text="Those of the newest import of the type")


HISTORY_PARAMETERS: Final = [
    OpenApiParameter("type", str, enum=checking.TYPES, description="Without it imports as a whole, without fields"),
    OpenApiParameter("limit", int, description="1 to 50 imports; 10 without it"),
]
