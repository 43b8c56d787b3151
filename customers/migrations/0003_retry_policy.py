"""How often, and how soon, failed records are tried again by themselves: a customer may have its own way."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("customers", "0002_key_warning")]

    operations = [
        migrations.AddField(
            model_name="customer",
            name="retry_tries",
            field=models.PositiveSmallIntegerField(
                blank=True,
                help_text="How often a record that failed for a passing reason is tried again. Empty: 3.",
                null=True,
                validators=[django.core.validators.MaxValueValidator(20)],
            ),
        ),
        migrations.AddField(
            model_name="customer",
            name="retry_base_seconds",
            field=models.PositiveSmallIntegerField(
                blank=True,
                help_text="Longest pause before the first of these tries; it doubles with each. Empty: 2.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(3600),
                ],
            ),
        ),
    ]
