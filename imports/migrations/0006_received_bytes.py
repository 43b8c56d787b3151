"""A job counts the bytes that came, so that a job in parts has a limit. What is open now counts from here on."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("imports", "0005_time_outs")]

    operations = [
        migrations.AddField(
            model_name="importjob",
            name="received_bytes",
            field=models.PositiveBigIntegerField(
                db_default=0, default=0, help_text="Of its body or of its parts so far, unpacked"
            ),
        ),
    ]
