"""What a record held before each change is kept, so that an import can be undone."""

import django.db.models.deletion
from django.contrib.postgres.indexes import BrinIndex
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("imports", "0008_dry_run_commits"), ("customers", "0005_customer_erased_at")]

    operations = [
        migrations.AddField(
            model_name="record",
            name="confirmed_count",
            field=models.IntegerField(
                db_default=0, default=0, help_text="How many later records brought the same content"
            ),
        ),
        migrations.AddField(
            model_name="record",
            name="has_superseded",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="An older import's record was left out because this one was there",
            ),
        ),
        migrations.AddField(
            model_name="record",
            name="is_undone",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="The import that brought it was undone; those that confirmed it not",
            ),
        ),
        migrations.CreateModel(
            name="RecordVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("payload", models.BinaryField(help_text="The record as canonical JSON, encrypted")),
                ("fingerprint", models.BinaryField(help_text="HMAC of the canonical JSON, 32 bytes")),
                ("origin_index", models.IntegerField()),
                (
                    "changed_index",
                    models.IntegerField(help_text="Index in changed_job of the record that last changed the content"),
                ),
                ("created_at", models.DateTimeField()),
                ("updated_at", models.DateTimeField(help_text="When the content last changed")),
                (
                    "confirmed_count",
                    models.IntegerField(
                        db_default=0, default=0, help_text="How many later records brought the same content"
                    ),
                ),
                (
                    "is_undone",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="The import that brought it was undone; those that confirmed it not",
                    ),
                ),
                (
                    "has_superseded",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="An older import's record was left out because this one was there",
                    ),
                ),
                ("type", models.CharField(max_length=16)),
                ("key", models.BinaryField(help_text="Blind index of the external id, 16 bytes")),
                ("index", models.IntegerField(help_text="Index in job of the record that replaced it")),
                ("replaced_at", models.DateTimeField()),
                (
                    "changed_job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="imports.importjob",
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="customers.customer",
                    ),
                ),
                (
                    "data_key",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="customers.datakey",
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The import or edit that replaced this content",
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="imports.importjob",
                    ),
                ),
                (
                    "origin_job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="imports.importjob",
                    ),
                ),
            ],
            options={
                "indexes": [BrinIndex(fields=["job"], name="record_version_by_job")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("customer", "type", "key", "job", "index"), name="record_version_one_per_change"
                    )
                ],
            },
        ),
        migrations.RunSQL(
            "ALTER TABLE imports_recordversion ALTER COLUMN payload SET STORAGE EXTERNAL", migrations.RunSQL.noop
        ),
    ]
