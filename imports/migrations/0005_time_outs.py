"""A batch that met a time-out is put off; a job may bring a retry policy of its own."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("imports", "0004_redrives")]

    operations = [
        migrations.AddField(
            model_name="importbatch",
            name="due_at",
            field=models.DateTimeField(help_text="Put off until then, after a time-out", null=True),
        ),
        migrations.AddField(
            model_name="importbatch",
            name="is_suspect",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="A piece of a batch that timed out: taken apart at its first time-out",
            ),
        ),
        migrations.AddField(
            model_name="importjob",
            name="retry_tries",
            field=models.PositiveSmallIntegerField(
                help_text="How often a passing failure is tried again, where the caller said so", null=True
            ),
        ),
        migrations.AddField(
            model_name="importjob",
            name="retry_base_seconds",
            field=models.PositiveSmallIntegerField(
                help_text="Longest pause before the first of these tries, where the caller said so", null=True
            ),
        ),
        migrations.AddConstraint(
            model_name="importjob",
            constraint=models.CheckConstraint(
                condition=(Q(retry_tries__isnull=True) | Q(retry_tries__lte=20))
                & (Q(retry_base_seconds__isnull=True) | Q(retry_base_seconds__gte=1, retry_base_seconds__lte=3600)),
                name="import_job_retry_policy_in_range",
            ),
        ),
        migrations.AlterField(
            model_name="batchattempt",
            name="end",
            field=models.CharField(
                blank=True,
                help_text="done, again after a deadlock, the reason, or the error's class; "
                "of one without an end how it was killed",
                max_length=20,
            ),
        ),
    ]
