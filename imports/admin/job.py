from django.contrib import admin
from django.db.models import Count, Max, Sum
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from audit.models import AuditEvent
from imports.admin.reading import ReadOnlyAdmin, link_to_list, short_id
from imports.models import FailedRecord, ImportBatch, ImportJob, ImportPart
from imports.status import current_states

OUTCOMES = ("created", "updated", "unchanged", "superseded", "failed", "unprocessed")
REASONS = 20


@admin.register(ImportJob)
class ImportJobAdmin(ReadOnlyAdmin[ImportJob]):
    """How far each import is and how it ended."""

    list_display = ("short_job", "customer", "how_it_stands", "progress", "outcomes", "mapped_by", "pace", "created_at")
    list_select_related = ("customer", "hmac_key")
    list_filter = ("status", "kind")
    search_fields = ("uuid__exact", "request_id__exact", "customer__slug__exact")
    search_help_text = "A whole job id, a whole request id, or a customer's short name."
    concealed = ("metadata", "idempotency_digest", "body_digest")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "uuid",
                    "customer",
                    "kind",
                    "status",
                    "status_reason",
                    "progress",
                    "pace",
                    "source",
                    "mapped_by",
                    "other_end",
                )
            },
        ),
        (
            "Records",
            {"fields": ("total", "created", "updated", "unchanged", "superseded", "failed", "unprocessed", "reasons")},
        ),
        ("Times", {"fields": ("created_at", "started_at", "finished_at", "cancelled_at", "expires_at", "purged_at")}),
        ("Parts", {"fields": ("open_until", "expected_total", "parts")}),
        ("Caller", {"fields": ("hmac_key", "source_ip", "request_id")}),
        ("More", {"fields": ("batches", "failed_records", "trail")}),
    )

    @admin.display(description="job")
    def short_job(self, job: ImportJob) -> SafeString:
        return short_id(job)

    @admin.display(description="status")
    def how_it_stands(self, job: ImportJob) -> str:
        status = job.get_status_display()
        if job.open_until is not None:
            return f"{status} (takes parts)"
        return f"{status} (dry run)" if job.kind == ImportJob.Kind.DRY_RUN else status

    @admin.display(description="what became of them")
    def outcomes(self, job: ImportJob) -> str:
        counts = ((getattr(job, name), name) for name in OUTCOMES)
        return ", ".join(f"{count:,} {name}" for count, name in counts if count) or "-"

    @admin.display(description="mappings")
    def mapped_by(self, job: ImportJob) -> str:
        versions = (f"{record_type} {version}" for record_type, version in (job.mappings or {}).items())
        return ", ".join(versions) or "-"

    @admin.display(description="commit")
    def other_end(self, job: ImportJob) -> SafeString | str:
        """The import that a dry run was committed as, or the dry run of an import: they know each other."""
        if job.kind == ImportJob.Kind.DRY_RUN:
            says, others = "as", ImportJob.objects.filter(dry_run_id=job.pk)
        elif job.dry_run_id is not None:
            says, others = "of", ImportJob.objects.filter(pk=job.dry_run_id)
        else:
            return "-"
        other = others.only("uuid").first()
        return link_to_list(ImportJob, f"{says} {other.uuid}", q=other.uuid) if other else "not yet"

    @admin.display(description="progress")
    def progress(self, job: ImportJob) -> SafeString:
        done = job.processed + job.unprocessed
        percent = done * 100 // job.total if job.total else 100
        bar = '<progress max="{}" value="{}"></progress> {} % of {}'
        return format_html(bar, job.total, done, percent, f"{job.total:,}")

    @admin.display(description="records/s")
    def pace(self, job: ImportJob) -> str:
        seconds = job.seconds_working(timezone.now())
        return f"{job.processed / seconds:,.0f}" if seconds and job.processed else "-"

    @admin.display(description="why records failed")
    def reasons(self, job: ImportJob) -> SafeString | str:
        rows = (
            FailedRecord.objects.filter(job=job, state__in=current_states(job))
            .order_by()
            .values_list("code", "pointer")
            .annotate(count=Count("pk"))
            .order_by("-count", "code", "pointer")[:REASONS]
        )
        lines = format_html_join("", "<li>{} &times; <code>{}</code> {}</li>", ((n, code, at) for code, at, n in rows))
        return format_html("<ul>{}</ul>", lines) if lines else "-"

    @admin.display(description="parts")
    def parts(self, job: ImportJob) -> str:
        came = ImportPart.objects.filter(job=job).aggregate(
            count=Count("pk"), last=Max("number"), size=Sum("wire_bytes")
        )
        if not came["count"]:
            return "none yet" if job.open_until is not None else "-"
        return f"{came['count']:,} came, the last is number {came['last']:,}, {filesizeformat(came['size'])} in all"

    @admin.display(description="batches")
    def batches(self, job: ImportJob) -> SafeString:
        return link_to_list(ImportBatch, f"{job.batches_ended} of {job.batch_count} ended", job__id__exact=job.pk)

    @admin.display(description="failed records")
    def failed_records(self, job: ImportJob) -> SafeString:
        return link_to_list(FailedRecord, f"{job.failed} failed now", job__id__exact=job.pk)

    @admin.display(description="audit trail")
    def trail(self, job: ImportJob) -> SafeString:
        return link_to_list(AuditEvent, "who did what", q=f"import:{job.uuid}")
