from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from imports.admin.reading import ReadOnlyAdmin, as_written, short_id
from imports.masking import MaskedFailure, masked_failure
from imports.models import FailedRecord


@admin.register(FailedRecord)
class FailedRecordAdmin(ReadOnlyAdmin[FailedRecord]):
    """Why a record did not make it, where it stands in its job, and what it says with its values masked."""

    list_display = ("id", "customer", "short_job", "index", "type", "code", "pointer", "state", "created_at")
    list_select_related = ("job", "customer")
    list_filter = ("state", "stage")
    search_fields = ("job__uuid__exact",)
    search_help_text = "A whole job id."
    concealed = ("payload", "edited", "problems", "key", "group_key", "job__metadata")
    masked = ("every_problem", "record_as_sent", "record_as_edited")
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

    @admin.display(description="every problem")
    def every_problem(self, failure: FailedRecord) -> SafeString | str:
        lines = format_html_join("", "<li><code>{}</code> {} {}</li>", _masked(failure).problems)
        return format_html("<ul>{}</ul>", lines) if lines else "-"

    @admin.display(description="record as sent, masked")
    def record_as_sent(self, failure: FailedRecord) -> SafeString:
        return as_written(_masked(failure).record)

    @admin.display(description="record as edited, masked")
    def record_as_edited(self, failure: FailedRecord) -> SafeString | str:
        edited = _masked(failure).edited
        return as_written(edited) if edited else "-"

    @admin.display(description="job")
    def short_job(self, failure: FailedRecord) -> SafeString:
        return short_id(failure.job)


def _masked(failure: FailedRecord) -> MaskedFailure:
    """Made once for a page, which is made of one object."""
    kept: MaskedFailure | None = failure.__dict__.get("_masked")
    if kept is None:
        kept = failure.__dict__["_masked"] = masked_failure(failure)
    return kept
