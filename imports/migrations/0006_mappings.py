"""Mappings by version, and the versions that a job runs with.

What was published never changes and never goes: the database refuses it, whoever asks. Refusals of changes are ENABLE
ALWAYS, so that session_replication_role does not switch them off; those of inserts are not, since a replica takes in
versions that were published long ago.
"""

import django.db.models.deletion
import imports.exact_json_field
from django.db import migrations, models


VERSIONS = """
CREATE FUNCTION imports_mapping_begins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> 'draft' THEN
        RAISE EXCEPTION 'A version of a mapping begins as a draft.' USING ERRCODE = 'restrict_violation';
    END IF;
    IF EXISTS (
        SELECT FROM imports_mapping
        WHERE customer_id = NEW.customer_id AND record_type = NEW.record_type AND version >= NEW.version
    ) THEN
        RAISE EXCEPTION 'Versions of a mapping rise: % is not above those that there are.', NEW.version
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION imports_mapping_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'draft' THEN
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        IF NEW.state <> 'archived' AND (NEW.id, NEW.customer_id, NEW.record_type, NEW.version)
            = (OLD.id, OLD.customer_id, OLD.record_type, OLD.version)
        THEN
            RETURN NEW;
        END IF;
    ELSIF TG_OP = 'UPDATE' AND OLD.state = 'published' AND NEW.state = 'archived' THEN
        OLD.state := NEW.state;
        OLD.archived_at := NEW.archived_at;
        OLD.archived_by := NEW.archived_by;
        IF OLD::text = NEW::text THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'A version of a mapping that was published never changes: % of % is refused.', TG_OP, OLD.id
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE FUNCTION imports_fieldmapping_stays() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of_mapping bigint := CASE TG_OP WHEN 'INSERT' THEN NEW.mapping_id ELSE OLD.mapping_id END;
    found_state text;
BEGIN
    -- Whoever is publishing the version is waited for.
    SELECT state INTO found_state FROM imports_mapping WHERE id = of_mapping FOR SHARE;
    IF found_state <> 'draft' OR (TG_OP = 'UPDATE' AND NEW.mapping_id <> OLD.mapping_id) THEN
        RAISE EXCEPTION 'A version of a mapping that was published never changes: % of a field of % is refused.',
            TG_OP, of_mapping USING ERRCODE = 'restrict_violation';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION imports_mapping_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Versions of mappings are not truncated: % is refused.', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER mapping_begins BEFORE INSERT ON imports_mapping
    FOR EACH ROW EXECUTE FUNCTION imports_mapping_begins();
CREATE TRIGGER mapping_stays BEFORE UPDATE OR DELETE ON imports_mapping
    FOR EACH ROW EXECUTE FUNCTION imports_mapping_stays();
CREATE TRIGGER field_mapping_begins BEFORE INSERT ON imports_fieldmapping
    FOR EACH ROW EXECUTE FUNCTION imports_fieldmapping_stays();
CREATE TRIGGER field_mapping_stays BEFORE UPDATE OR DELETE ON imports_fieldmapping
    FOR EACH ROW EXECUTE FUNCTION imports_fieldmapping_stays();
ALTER TABLE imports_mapping ENABLE ALWAYS TRIGGER mapping_stays;
ALTER TABLE imports_fieldmapping ENABLE ALWAYS TRIGGER field_mapping_stays;
"""

REFUSE_TRUNCATE = """
CREATE TRIGGER mapping_no_truncate BEFORE TRUNCATE ON imports_mapping
    FOR EACH STATEMENT EXECUTE FUNCTION imports_mapping_truncate();
CREATE TRIGGER field_mapping_no_truncate BEFORE TRUNCATE ON imports_fieldmapping
    FOR EACH STATEMENT EXECUTE FUNCTION imports_mapping_truncate();
ALTER TABLE imports_mapping ENABLE ALWAYS TRIGGER mapping_no_truncate;
ALTER TABLE imports_fieldmapping ENABLE ALWAYS TRIGGER field_mapping_no_truncate;
"""

# Transactional tests empty their database by TRUNCATE; tests/conftest.py runs this on the test database.
ALLOW_TRUNCATE = """
DROP TRIGGER IF EXISTS mapping_no_truncate ON imports_mapping;
DROP TRIGGER IF EXISTS field_mapping_no_truncate ON imports_fieldmapping;
"""

UNDO = ALLOW_TRUNCATE + """
DROP TRIGGER field_mapping_stays ON imports_fieldmapping;
DROP TRIGGER field_mapping_begins ON imports_fieldmapping;
DROP TRIGGER mapping_stays ON imports_mapping;
DROP TRIGGER mapping_begins ON imports_mapping;
DROP FUNCTION imports_mapping_begins(), imports_mapping_stays(), imports_fieldmapping_stays(), imports_mapping_truncate();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('customers', '0005_customer_erased_at'),
        ('imports', '0006_received_bytes'),
    ]

    operations = [
        migrations.AddField(
            model_name='importjob',
            name='mappings',
            field=models.JSONField(help_text='Version of the mapping it runs with by record type, as published when it was accepted; a type without one is stored as it came. Null while it is open, and for jobs of releases without mappings', null=True),
        ),
        migrations.AlterField(
            model_name='failedrecord',
            name='pointer',
            field=models.CharField(blank=True, help_text='Where the first fault is, in the record as sent, or in the mapped one where its place there is not known; names that the caller chose stand as *', max_length=300),
        ),
        migrations.AlterField(
            model_name='failedrecord',
            name='stage',
            field=models.CharField(choices=[('check', 'Check'), ('map', 'Mapping'), ('validate', 'Validation'), ('store', 'Store'), ('deliver', 'Delivery')], max_length=10),
        ),
        migrations.CreateModel(
            name='Mapping',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('record_type', models.CharField(choices=[('customer', 'Customer'), ('order', 'Order'), ('product', 'Product')], max_length=16)),
                ('version', models.PositiveIntegerField(help_text='From 1, rising')),
                ('state', models.CharField(choices=[('draft', 'Draft'), ('published', 'Published'), ('archived', 'Archived')], default='draft', max_length=10)),
                ('unmapped', models.CharField(help_text='What becomes of a field without a rule: keep, drop or refuse', max_length=10)),
                ('ignored', imports.exact_json_field.ExactJSONField(default=list, help_text='Source paths that are left out on purpose')),
                ('rules', imports.exact_json_field.ExactJSONField(default=list, help_text='Conditions on the whole mapped record, in JSONata')),
                ('schema', imports.exact_json_field.ExactJSONField(blank=True, help_text='JSON Schema 2020-12 of the mapped record', null=True)),
                ('note', models.CharField(blank=True, max_length=200)),
                ('based_on', models.PositiveIntegerField(blank=True, help_text='The version whose content it began with', null=True)),
                ('created_at', models.DateTimeField()),
                ('created_by', models.CharField(help_text='kind:id of who did it, as in the audit trail', max_length=161)),
                ('published_at', models.DateTimeField(blank=True, null=True)),
                ('published_by', models.CharField(blank=True, max_length=161)),
                ('archived_at', models.DateTimeField(blank=True, null=True)),
                ('archived_by', models.CharField(blank=True, max_length=161)),
                ('customer', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='mappings', to='customers.customer')),
            ],
            options={
                'ordering': ['customer_id', 'record_type', '-version'],
            },
        ),
        migrations.CreateModel(
            name='FieldMapping',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveIntegerField(help_text='0 for the first rule of the mapping')),
                ('target', models.TextField()),
                ('data_type', models.CharField(max_length=10)),
                ('source', models.TextField(blank=True, null=True)),
                ('sources', imports.exact_json_field.ExactJSONField(default=list)),
                ('expression', models.TextField(blank=True, null=True)),
                ('transforms', imports.exact_json_field.ExactJSONField(default=list)),
                ('values', imports.exact_json_field.ExactJSONField(default=list, help_text='The values of an enum')),
                ('default', imports.exact_json_field.ExactJSONField(blank=True, null=True)),
                ('mandatory', models.BooleanField(default=False)),
                ('absent', models.CharField(help_text='What counts as no value, beside a missing member', max_length=10)),
                ('classification', models.CharField(max_length=12)),
                ('mask', models.CharField(blank=True, help_text='Empty: by classification', max_length=10)),
                ('mask_pattern', imports.exact_json_field.ExactJSONField(blank=True, null=True)),
                ('mapping', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='fields', to='imports.mapping')),
            ],
            options={
                'ordering': ['mapping_id', 'position'],
            },
        ),
        migrations.AddConstraint(
            model_name='mapping',
            constraint=models.UniqueConstraint(fields=('customer', 'record_type', 'version'), name='mapping_one_per_version'),
        ),
        migrations.AddConstraint(
            model_name='mapping',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'published')), fields=('customer', 'record_type'), name='mapping_one_published'),
        ),
        migrations.AddConstraint(
            model_name='mapping',
            constraint=models.CheckConstraint(condition=models.Q(('version__gte', 1)), name='mapping_version_from_one'),
        ),
        migrations.AddConstraint(
            model_name='mapping',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('archived_at__isnull', True), ('published_at__isnull', True), ('state', 'draft')), models.Q(('archived_at__isnull', True), ('published_at__isnull', False), ('state', 'published')), models.Q(('archived_at__isnull', False), ('published_at__isnull', False), ('state', 'archived')), _connector='OR'), name='mapping_state_has_its_times'),
        ),
        migrations.AddConstraint(
            model_name='fieldmapping',
            constraint=models.UniqueConstraint(fields=('mapping', 'position'), name='field_mapping_one_per_position'),
        ),
        migrations.AddConstraint(
            model_name='fieldmapping',
            constraint=models.CheckConstraint(condition=models.Q(('source__isnull', True), ('expression__isnull', True), _connector='OR'), name='field_mapping_one_source'),
        ),
        migrations.RunSQL(VERSIONS + REFUSE_TRUNCATE, UNDO),
    ]
