"""What every test that touches the database needs; a part's own fixtures stand beside its tests."""

from collections.abc import Iterator
from importlib import import_module

import pytest
from django.db import connection
from django.test import TransactionTestCase
from hypothesis import settings
from pytest_django.plugin import DjangoDbBlocker

from imports import attempts

# No test fails on a clock: a busy machine is not a defect.
settings.register_profile("longshore", deadline=None)
settings.load_profile("longshore")

append_only = import_module("audit.migrations.0002_append_only")
mappings = import_module("imports.migrations.0006_mappings")

# Filled by migrations alone. Filling them anew after each test took longer than emptying all the others.
KEPT_TABLES = {"auth_permission", "django_content_type"}


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Transactional tests empty the database by TRUNCATE, which the audit trail and the versions of mappings refuse,
    and which takes the trail's head row.

    So the test database does without those triggers, and the head is put back whenever it was emptied.
    """
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(append_only.ALLOW_TRUNCATE)
        cursor.execute(mappings.ALLOW_TRUNCATE)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TransactionTestCase, "_fixture_teardown", empty_database)
        yield
    if attempts._note is not None:
        attempts._note.close()  # a second session would keep the test database from being dropped


def empty_database(_case: TransactionTestCase) -> None:
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(sorted(set(tables) - KEPT_TABLES))}")
        cursor.execute(append_only.BEGIN + " ON CONFLICT DO NOTHING")
