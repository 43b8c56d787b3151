from datetime import timedelta

from django.contrib import admin

from imports.admin.reading import ReadOnlyAdmin
from imports.models import BatchAttempt


@admin.register(BatchAttempt)
class BatchAttemptAdmin(ReadOnlyAdmin[BatchAttempt]):
    """Who worked on which batch, and how each attempt ended; one without an end was killed or is under way."""

    list_display = ("id", "batch_id", "customer_id", "worker", "started_at", "took", "end")
    search_fields = ("batch_id__exact",)
    search_help_text = "The number of a batch."
    fields = ("batch_id", "customer_id", "worker", "started_at", "ended_at", "took", "end")

    @admin.display(description="took")
    def took(self, attempt: BatchAttempt) -> str:
        if attempt.ended_at is None:
            return "-"
        return f"{(attempt.ended_at - attempt.started_at) / timedelta(milliseconds=1):,.0f} ms"
