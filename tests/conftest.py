"""What every test that touches the database needs; a part's own fixtures stand beside its tests."""

from collections.abc import Iterator
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection
from django.db.models.signals import post_migrate
from pytest_django.plugin import DjangoDbBlocker

append_only = import_module("audit.migrations.0002_append_only")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Transactional tests empty the database by TRUNCATE, which the audit trail refuses and which takes its
    head row.

    So the test database does without those two triggers, and the head is put back whenever it was emptied.
    """
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(append_only.ALLOW_TRUNCATE)
    post_migrate.connect(put_audit_head_back, sender=apps.get_app_config("audit"))
    yield
    post_migrate.disconnect(put_audit_head_back, sender=apps.get_app_config("audit"))


def put_audit_head_back(**_signal: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(append_only.BEGIN + " ON CONFLICT DO NOTHING")
