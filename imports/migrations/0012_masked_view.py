"""Who may see records with their values masked."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("imports", "0011_retention")]

    operations = [
        migrations.AlterModelOptions(
            name="record",
            options={
                "permissions": [
                    ("view_masked_record", "Can see records and failed records with their values masked")
                ],
            },
        ),
    ]
