"""Half of each new page of records stays free for their next versions: docs/decisions/0021. Old pages stay as they are."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("imports", "0006_mappings")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE imports_record SET (fillfactor = 50)", "ALTER TABLE imports_record RESET (fillfactor)"
        )
    ]
