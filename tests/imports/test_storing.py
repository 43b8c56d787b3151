"""What storing records costs the database."""

import pytest
from django.db import connection

from tests.imports.pipeline import Caller, records, run

pytestmark = pytest.mark.django_db(transaction=True)

COUNT = 3_000


def test_an_import_over_what_is_stored_stays_on_the_pages_and_touches_no_index(owner: Caller) -> None:
    """PostgreSQL's heap-only updates: they need room on the page, and no index on a column that a sighting moves."""
    run(owner, records(COUNT))
    before = updates()
    for _ in range(3):
        assert run(owner, records(COUNT)).unchanged == COUNT
    assert run(owner, records(COUNT, attributes={"v": "changed"})).updated == COUNT
    made, on_the_page = (now - then for now, then in zip(updates(), before, strict=True))
    assert made == 4 * COUNT
    assert on_the_page > 0.95 * made


def updates() -> tuple[int, int]:
    """Of the table of records, by PostgreSQL's own count: all, and those that stayed on their page."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT pg_stat_get_tuples_updated(oid), pg_stat_get_tuples_hot_updated(oid) FROM pg_class "
            "WHERE oid = 'imports_record'::regclass"
        )
        all_of_them, on_the_page = cursor.fetchone()
        return int(all_of_them), int(on_the_page)
