"""An import knows the dry run whose content it was committed with; a dry run is committed once."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("imports", "0007_record_fillfactor")]

    operations = [
        migrations.AddField(
            model_name="importjob",
            name="dry_run",
            field=models.ForeignKey(
                db_index=False,
                help_text="The dry run whose content this import was committed with",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="imports.importjob",
            ),
        ),
        migrations.AddConstraint(
            model_name="importjob",
            constraint=models.UniqueConstraint(
                condition=models.Q(("dry_run__isnull", False)),
                fields=("dry_run",),
                name="import_job_one_per_dry_run",
            ),
        ),
    ]
