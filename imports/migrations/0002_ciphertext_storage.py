"""Ciphertext does not compress: storing it as it is saves the attempt."""

from django.db import migrations

COLUMNS = [
    ("imports_importbatch", "payload"),
    ("imports_record", "payload"),
    ("imports_failedrecord", "payload"),
]


def set_storage(storage: str) -> list[str]:
    return [f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE {storage}" for table, column in COLUMNS]


class Migration(migrations.Migration):
    dependencies = [("imports", "0001_initial")]
    operations = [migrations.RunSQL(set_storage("EXTERNAL"), set_storage("EXTENDED"))]
