"""What is stored now of records that have been checked, where it is not the same: one COPY, one set-based look-up."""

from collections.abc import Sequence
from typing import Any, Final

from django.db import connection, transaction

from imports.copying import copy_rows
from imports.storing import Incoming

_WANTED: Final = "wanted_record"
_COLUMNS: Final = {"index": "int4", "type": "varchar", "key": "bytea", "fingerprint": "bytea"}
_CREATE: Final = """
    CREATE TEMP TABLE IF NOT EXISTS wanted_record (
        index int4, type varchar, key bytea, fingerprint bytea
    ) ON COMMIT DELETE ROWS
"""
# LIMIT keeps the look-ups on the index, however many records there are: the temporary table has no statistics.
_DIFFERING: Final = """
    SELECT wanted.index, {} FROM wanted_record wanted
    LEFT JOIN LATERAL (
        SELECT fingerprint, payload FROM imports_record
        WHERE customer_id = %(customer)s AND type = wanted.type AND key = wanted.key LIMIT 1
    ) stored ON true
    WHERE stored.fingerprint IS DISTINCT FROM wanted.fingerprint
"""


def differing_sizes(records: Sequence[Incoming], *, customer_id: int) -> dict[int, int]:
    """By position, for records that are not stored as they are: the bytes of what is stored, 0 where there is none."""
    return {position: size or 0 for position, size in _ask("octet_length(payload)", records, customer_id)}


def differing_payloads(records: Sequence[Incoming], *, customer_id: int) -> dict[int, bytes | None]:
    """The same with the ciphertext itself, None where there is none. The caller sees that they are not too many."""
    return {
        position: None if payload is None else bytes(payload)
        for position, payload in _ask("payload", records, customer_id)
    }


def _ask(what: str, records: Sequence[Incoming], customer_id: int) -> list[tuple[int, Any]]:
    rows = [(record.position, record.type, record.key, record.fingerprint) for record in records]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_CREATE)
        cursor.execute("DELETE FROM wanted_record")
        copy_rows(cursor, _WANTED, _COLUMNS, rows)
        cursor.execute(_DIFFERING.format(what), {"customer": customer_id})
        return list(cursor.fetchall())
