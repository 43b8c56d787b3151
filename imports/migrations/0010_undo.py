"""Imports are undone: how far each undo is, and what it leaves in place."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("imports", "0009_record_versions")]

    operations = [
        migrations.AlterField(
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
                    ("undone", "Its import was undone"),
                ],
                db_default="",
                default="",
                max_length=10,
            ),
        ),
        migrations.CreateModel(
            name="Undo",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "state",
                    models.CharField(
                        choices=[("running", "Running"), ("done", "Done"), ("failed", "Failed")],
                        default="running",
                        max_length=10,
                    ),
                ),
                ("state_reason", models.CharField(blank=True, help_text="Why it failed", max_length=50)),
                (
                    "position",
                    models.PositiveIntegerField(help_text="Everything of the job from this index on is undone"),
                ),
                ("removed", models.PositiveIntegerField(default=0, help_text="Records that the import had created")),
                (
                    "restored",
                    models.PositiveIntegerField(default=0, help_text="Records that hold again what they held before"),
                ),
                (
                    "kept",
                    models.PositiveIntegerField(default=0, help_text="Records that stay as they are, see KeptRecord"),
                ),
                ("gone", models.PositiveIntegerField(default=0, help_text="Records that were no longer there")),
                (
                    "discarded",
                    models.PositiveIntegerField(default=0, help_text="Failed records of the import that were given up"),
                ),
                ("tries", models.PositiveIntegerField(default=0, help_text="How often the next batch was begun")),
                (
                    "due_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), help_text="When a worker may go on"
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
                    "job",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, related_name="undo", to="imports.importjob"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="KeptRecord",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("index", models.PositiveIntegerField(help_text="0-based position in the undone job")),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("changed", "A later import changed it"),
                            ("edited", "Somebody edited it"),
                            ("confirmed", "A later import brought the same content"),
                            ("superseded", "An older import's record was left out for it"),
                            ("no_version", "What it held before is not known"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "by_job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The import or edit that it is kept for",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="imports.importjob",
                    ),
                ),
                (
                    "undo",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="kept_records",
                        to="imports.undo",
                    ),
                ),
            ],
            options={
                "ordering": ["undo_id", "index"],
            },
        ),
        migrations.AddIndex(
            model_name="undo",
            index=models.Index(condition=models.Q(("state", "running")), fields=["due_at"], name="undo_running"),
        ),
        migrations.AddConstraint(
            model_name="undo",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "done"), _negated=True),
                    models.Q(("finished_at__isnull", False), ("position", 0)),
                    _connector="OR",
                ),
                name="undo_done_is_at_the_start",
            ),
        ),
        migrations.AddConstraint(
            model_name="keptrecord",
            constraint=models.UniqueConstraint(fields=("undo", "index"), name="kept_record_one_per_index"),
        ),
    ]
