from django.contrib import admin
from django.utils.safestring import SafeString

from imports.admin.reading import ReadOnlyAdmin, short_id
from imports.models import FailedRecord


@admin.register(FailedRecord)
class FailedRecordAdmin(ReadOnlyAdmin[FailedRecord]):
    """Why a record did not make it and where it stands in its job; never what it says."""

    list_display = ("id", "customer", "short_job", "index", "type", "code", "pointer", "state", "created_at")
    list_select_related = ("job", "customer")
    list_filter = ("state", "stage")
    search_fields = ("job__uuid__exact",)
    search_help_text = "A whole job id."
    concealed = ("payload", "edited", "problems", "key", "group_key", "job__metadata")
    fields = (
        "job",
        "customer",
        "index",
        "type",
        "stage",
        "category",
        "code",
        "pointer",
        "message",
        "state",
        "attempts",
        "tried_at",
        "next_attempt_at",
        "discard_reason",
        "redrive",
        "resolved_by",
        "created_at",
        "updated_at",
    )

    @admin.display(description="job")
    def short_job(self, failure: FailedRecord) -> SafeString:
        return short_id(failure.job)
