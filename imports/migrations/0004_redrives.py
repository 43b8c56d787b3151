"""Failed records are tried again: by themselves, by hand, and many at a time."""

import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

UNRESOLVED = models.Q(("state__in", ["open", "retrying"]))


class Migration(migrations.Migration):
    dependencies = [("imports", "0003_jobs_in_parts"), ("customers", "0003_retry_policy")]

    operations = [
        migrations.AlterField(
            model_name="importjob",
            name="kind",
            field=models.CharField(
                choices=[("import", "Import"), ("dry_run", "Dry run"), ("edit", "Edit of a failed record")],
                default="import",
                max_length=10,
            ),
        ),
        migrations.CreateModel(
            name="Redrive",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "Running"),
                            ("paused", "Paused"),
                            ("cancelled", "Cancelled"),
                            ("done", "Done"),
                        ],
                        default="running",
                        max_length=10,
                    ),
                ),
                (
                    "state_reason",
                    models.CharField(
                        blank=True, help_text="sample: it paused by itself after its sample", max_length=20
                    ),
                ),
                ("wanted_code", models.CharField(blank=True, max_length=50)),
                ("wanted_type", models.CharField(blank=True, max_length=16)),
                ("wanted_state", models.CharField(help_text="open or discarded", max_length=10)),
                ("sample", models.PositiveIntegerField(help_text="Pause after so many", null=True)),
                ("per_second", models.PositiveIntegerField(help_text="At most so many in any second", null=True)),
                ("total", models.PositiveIntegerField(help_text="Records that matched when it began")),
                ("released", models.PositiveIntegerField(default=0, help_text="Handed to the workers so far")),
                ("succeeded", models.PositiveIntegerField(default=0)),
                ("failed_again", models.PositiveIntegerField(default=0)),
                (
                    "position",
                    models.BigIntegerField(default=0, help_text="Number of the last failed record handed out"),
                ),
                (
                    "stops_at",
                    models.PositiveIntegerField(help_text="Pauses when so many were handed out", null=True),
                ),
                (
                    "due_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="When the next may be handed out",
                    ),
                ),
                ("actor_kind", models.CharField(max_length=10)),
                ("actor_id", models.CharField(max_length=150)),
                ("request_id", models.CharField(blank=True, max_length=64)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("finished_at", models.DateTimeField(null=True)),
                (
                    "customer",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="customers.customer",
                    ),
                ),
                (
                    "wanted_job",
                    models.ForeignKey(
                        db_index=False,
                        help_text="Empty: of any job",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="imports.importjob",
                    ),
                ),
            ],
            options={"ordering": ["-id"]},
        ),
        migrations.AddConstraint(
            model_name="redrive",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["running", "paused"])),
                fields=(
                    "customer",
                    "wanted_job",
                    "wanted_code",
                    "wanted_type",
                    "wanted_state",
                    "sample",
                    "per_second",
                ),
                name="redrive_one_of_a_kind_at_a_time",
                nulls_distinct=False,
            ),
        ),
        migrations.AddIndex(
            model_name="redrive",
            index=models.Index(condition=models.Q(("state", "running")), fields=["due_at"], name="redrive_running"),
        ),
        migrations.AddIndex(
            model_name="redrive", index=models.Index(fields=["customer", "-id"], name="redrive_by_customer")
        ),
        migrations.AlterField(
            model_name="failedrecord",
            name="attempts",
            field=models.PositiveIntegerField(
                default=1, help_text="How often it was tried, the import itself included"
            ),
        ),
        migrations.AddField(
            model_name="failedrecord",
            name="tries",
            field=models.PositiveSmallIntegerField(
                db_default=0, default=0, help_text="Of these, how often by itself since somebody last asked for it"
            ),
        ),
        migrations.AddField(
            model_name="failedrecord",
            name="tried_at",
            field=models.DateTimeField(help_text="When it was last tried again, by the database's clock", null=True),
        ),
        migrations.AddField(
            model_name="failedrecord",
            name="edited",
            field=models.BinaryField(help_text="What a person put in the payload's place, encrypted", null=True),
        ),
        migrations.AddField(
            model_name="failedrecord",
            name="edit_job",
            field=models.ForeignKey(
                db_index=False,
                help_text="The edit's own number, the origin of what it stores",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="imports.importjob",
            ),
        ),
        migrations.AddField(
            model_name="failedrecord",
            name="redrive",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="imports.redrive",
            ),
        ),
        migrations.AddField(
            model_name="failedrecord",
            name="discard_reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("duplicate", "Sent by another way"),
                    ("obsolete", "No longer needed"),
                    ("invalid", "Cannot be mended"),
                    ("test", "Test data"),
                    ("other", "Another reason"),
                ],
                db_default="",
                default="",
                max_length=10,
            ),
        ),
        migrations.AddIndex(
            model_name="failedrecord",
            index=models.Index(
                condition=models.Q(("key__isnull", False)) & UNRESOLVED,
                fields=["customer", "key", "job"],
                name="failed_record_unresolved",
            ),
        ),
        migrations.AddIndex(
            model_name="failedrecord",
            index=models.Index(fields=["customer", "id"], name="failed_record_by_customer"),
        ),
        migrations.AddIndex(
            model_name="failedrecord",
            index=models.Index(
                condition=models.Q(("next_attempt_at__isnull", False)) & UNRESOLVED,
                fields=["next_attempt_at"],
                name="failed_record_due",
            ),
        ),
        migrations.AddIndex(
            model_name="failedrecord",
            index=models.Index(
                condition=models.Q(("state", "retrying")), fields=["redrive"], name="failed_record_under_way"
            ),
        ),
    ]
