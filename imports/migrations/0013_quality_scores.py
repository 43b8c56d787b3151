"""Quality: what a batch counted of its records, what a caller announced, and the scores of a job."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('customers', '0005_customer_erased_at'),
        ('imports', '0012_masked_view'),
    ]

    operations = [
        migrations.AddField(
            model_name='importbatch',
            name='quality',
            field=models.JSONField(help_text="What was counted of its records' quality, see imports/quality/tally.py; null until it is done", null=True),
        ),
        migrations.AddField(
            model_name='importjob',
            name='announced_total',
            field=models.PositiveIntegerField(help_text='How many records the caller said there are, compared with what came and never enforced', null=True),
        ),
        migrations.CreateModel(
            name='QualityScore',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('is_dry_run', models.BooleanField(default=False, help_text="Not part of the customer's trend")),
                ('record_type', models.CharField(blank=True, help_text='Empty for the whole job', max_length=16)),
                ('position', models.PositiveSmallIntegerField(default=0, help_text="The field's place in its mapping, from 1; 0 for all of the type")),
                ('field', models.TextField(blank=True, help_text="The mapping's target; empty for all of the type")),
                ('counts', models.JSONField(help_text='What the score follows from, see docs/quality.md')),
                ('score', models.FloatField(help_text='0 to 1; null where nothing was judged', null=True)),
                ('customer', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='customers.customer')),
                ('job', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='quality_scores', to='imports.importjob')),
            ],
            options={
                'ordering': ['-job_id', 'record_type', 'position'],
                'indexes': [models.Index(condition=models.Q(('is_dry_run', False), ('position', 0), ('score__isnull', False)), fields=['customer', 'record_type', '-job'], name='quality_score_trend')],
                'constraints': [models.UniqueConstraint(fields=('job', 'record_type', 'position'), name='quality_score_one_a_place'), models.CheckConstraint(condition=models.Q(('score__isnull', True), models.Q(('score__gte', 0), ('score__lte', 1)), _connector='OR'), name='quality_score_is_a_share'), models.CheckConstraint(condition=models.Q(models.Q(('field', ''), ('position', 0)), models.Q(('position__gte', 1), models.Q(('record_type', ''), _negated=True)), _connector='OR'), name='quality_score_field_has_a_type')],
            },
        ),
    ]
