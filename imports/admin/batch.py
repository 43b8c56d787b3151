from django.contrib import admin
from django.utils.safestring import SafeString

from imports.admin.reading import ReadOnlyAdmin, link_to_list, short_id
from imports.models import BatchAttempt, ImportBatch


@admin.register(ImportBatch)
class ImportBatchAdmin(ReadOnlyAdmin[ImportBatch]):
    """The units that commit as a whole, and which of them are still waiting."""

    list_display = (
        "id",
        "customer",
        "short_job",
        "sequence",
        "first_index",
        "record_count",
        "state",
        "due_at",
        "ended_at",
    )
    list_select_related = ("job", "customer")
    list_filter = ("state",)
    search_fields = ("job__uuid__exact",)
    search_help_text = "A whole job id."
    concealed = ("payload", "outcomes", "superseded", "job__metadata")
    fields = (
        "job",
        "customer",
        "sequence",
        "first_index",
        "record_count",
        "state",
        "due_at",
        "is_suspect",
        "handled_by_type",
        "ended_at",
        "attempts",
    )

    @admin.display(description="job")
    def short_job(self, batch: ImportBatch) -> SafeString:
        return short_id(batch.job)

    @admin.display(description="records by type")
    def handled_by_type(self, batch: ImportBatch) -> str:
        return (
            "; ".join(
                f"{record_type}: {counts['processed']:,} handled, {counts['failed']:,} failed"
                for record_type, counts in sorted(batch.by_type.items())
            )
            or "-"
        )

    @admin.display(description="attempts")
    def attempts(self, batch: ImportBatch) -> SafeString:
        return link_to_list(BatchAttempt, "who worked on it", q=str(batch.pk))
