"""Content goes when a job's retention ends: when that is, how far it is, and who was told before."""

from django.db import migrations, models
from django.db.models import F, Q
from django.db.models.functions import Coalesce

STATES = [
    ("open", "Open"),
    ("retrying", "Being retried"),
    ("resolved", "Resolved"),
    ("discarded", "Discarded"),
    ("dry_run", "Found by a dry run"),
    ("expired", "Expired with its import's retention"),
    ("erased", "Erased on request"),
]


class Migration(migrations.Migration):
    dependencies = [("imports", "0010_undo")]

    operations = [
        migrations.AddField(
            model_name="importjob",
            name="expired_at",
            field=models.DateTimeField(help_text="Set before the first of its content is removed", null=True),
        ),
        migrations.AddField(
            model_name="importjob",
            name="purged_at",
            field=models.DateTimeField(help_text="When nothing of its content was left", null=True),
        ),
        migrations.AlterField(
            model_name="importjob",
            name="expires_at",
            field=models.DateTimeField(
                help_text="When payload and results are removed: so many days after its end, "
                "as its customer's retention says"
            ),
        ),
        migrations.AlterField(
            model_name="importjob",
            name="metadata",
            field=models.BinaryField(
                help_text="The whole metadata object, encrypted; null once the retention has ended", null=True
            ),
        ),
        migrations.AddConstraint(
            model_name="importjob",
            constraint=models.CheckConstraint(
                condition=Q(expired_at__isnull=True) | Q(finished_at__isnull=False),
                name="import_job_expires_after_its_end",
            ),
        ),
        migrations.AddConstraint(
            model_name="importjob",
            constraint=models.CheckConstraint(
                condition=Q(metadata__isnull=False) | Q(expired_at__isnull=False),
                name="import_job_metadata_until_it_expires",
            ),
        ),
        migrations.AddIndex(
            model_name="importjob",
            index=models.Index(fields=["expires_at"], condition=Q(purged_at__isnull=True), name="import_job_expiring"),
        ),
        migrations.AddIndex(
            model_name="importjob",
            index=models.Index(
                F("customer"),
                F("expires_at") - Coalesce("finished_at", "created_at"),
                condition=Q(expired_at__isnull=True),
                name="import_job_retention",
            ),
        ),
        migrations.AlterField(
            model_name="failedrecord",
            name="state",
            field=models.CharField(choices=STATES, default="open", max_length=10),
        ),
        migrations.AlterField(
            model_name="failedrecord",
            name="payload",
            field=models.BinaryField(
                help_text="The record as sent, encrypted; null once expired or erased", null=True
            ),
        ),
        migrations.AlterField(
            model_name="failedrecord",
            name="problems",
            field=models.BinaryField(help_text="Every fault found, code and exact pointer, encrypted", null=True),
        ),
        migrations.AddConstraint(
            model_name="failedrecord",
            constraint=models.CheckConstraint(
                condition=Q(payload__isnull=False, problems__isnull=False)
                | (
                    Q(payload__isnull=True, problems__isnull=True, edited__isnull=True, key__isnull=True)
                    & ~Q(state__in=["open", "retrying"])
                ),
                name="failed_record_whole_until_it_ends",
            ),
        ),
        migrations.CreateModel(
            name="RetentionWarning",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("days", models.PositiveSmallIntegerField(help_text="The threshold that was passed: 7 or 1")),
                ("count", models.PositiveIntegerField(help_text="Failed records that were still open then")),
                ("at", models.DateTimeField(help_text="When it was noticed")),
                (
                    "job",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=models.CASCADE,
                        related_name="warnings",
                        to="imports.importjob",
                    ),
                ),
            ],
            options={
                "ordering": ["-at"],
                "constraints": [
                    models.UniqueConstraint(fields=["job", "days"], name="retention_warning_once_a_threshold")
                ],
            },
        ),
    ]
