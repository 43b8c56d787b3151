"""Checked records into the table of records: one COPY, one set-based upsert."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from django.db import connection

from customers.keyring import hold
from imports import failpoints
from imports.copying import copy_rows
from imports.models import ImportJob
from imports.outcome import Outcome

_COLUMNS: Final = {
    "index": "int4",
    "type": "varchar",
    "key": "bytea",
    "payload": "bytea",
    "fingerprint": "bytea",
}
_INCOMING: Final = "incoming_record"

_CREATE: Final = """
    CREATE TEMP TABLE IF NOT EXISTS incoming_record (
        index int4, type varchar, key bytea, payload bytea, fingerprint bytea
    ) ON COMMIT DELETE ROWS
"""

# A later origin wins, whatever order the workers finish in. The same content moves the origin and nothing else, so that
# an older job still under way cannot put its stale content back; docs/decisions/0021 says why that is never left out.
# Rows are taken in key order: no two workers meet crosswise.
_UPSERT: Final = """
    INSERT INTO imports_record AS stored (
        customer_id, type, key, payload, fingerprint, data_key_id,
        origin_job_id, origin_index, changed_job_id, changed_index, created_at, updated_at
    )
    SELECT %(customer)s, type, key, payload, fingerprint, %(data_key)s,
        %(job)s, index, %(job)s, index, now(), now()
    FROM incoming_record ORDER BY type, key
    ON CONFLICT (customer_id, type, key) DO UPDATE SET
        origin_job_id = excluded.origin_job_id,
        origin_index = excluded.origin_index,
        fingerprint = excluded.fingerprint,
        payload = CASE WHEN stored.fingerprint = excluded.fingerprint THEN stored.payload ELSE excluded.payload END,
        data_key_id = CASE WHEN stored.fingerprint = excluded.fingerprint
            THEN stored.data_key_id ELSE excluded.data_key_id END,
        changed_job_id = CASE WHEN stored.fingerprint = excluded.fingerprint
            THEN stored.changed_job_id ELSE excluded.changed_job_id END,
        changed_index = CASE WHEN stored.fingerprint = excluded.fingerprint
            THEN stored.changed_index ELSE excluded.changed_index END,
        updated_at = CASE WHEN stored.fingerprint = excluded.fingerprint
            THEN stored.updated_at ELSE excluded.updated_at END
    WHERE (stored.origin_job_id, stored.origin_index) < (excluded.origin_job_id, excluded.origin_index)
    RETURNING origin_index AS index,
        CASE WHEN xmax = 0 THEN 'c'
            WHEN (changed_job_id, changed_index) = (origin_job_id, origin_index) THEN 'u' ELSE '=' END AS outcome
"""

# LIMIT keeps the look-ups on the index, however many records there are: the temporary table has no statistics.
_STORED: Final = """
    FROM incoming_record incoming
    LEFT JOIN LATERAL (
        SELECT fingerprint, origin_job_id, origin_index FROM imports_record
        WHERE customer_id = %(customer)s AND type = incoming.type AND key = incoming.key LIMIT 1
    ) stored ON true
"""

_SUPERSEDED: Final = f"""
    SELECT incoming.index, 's' AS outcome {_STORED}
    WHERE (stored.origin_job_id, stored.origin_index) > (%(job)s, incoming.index)
"""

_COMPARE: Final = f"""
    SELECT incoming.index,
        CASE WHEN stored.fingerprint IS NULL THEN 'c'
            WHEN stored.fingerprint = incoming.fingerprint THEN '=' ELSE 'u' END AS outcome
    {_STORED}
"""

# One row an outcome: reading a row a record cost as much as encrypting it.
_GROUP: Final = "WITH answer AS ({}) SELECT outcome, array_agg(index) FROM answer GROUP BY outcome"


class Incoming(NamedTuple):
    """A checked record as a row of the temporary table.

    `payload` is ciphertext, empty in a dry run; `position` counts from the job's first.
    """

    position: int
    type: str
    key: bytes
    payload: bytes
    fingerprint: bytes


Answer = list[tuple[Outcome, list[int]]]
"""Outcomes, each with the indexes of its records; an index stands once."""


def record_row(record_type: str, key: bytes) -> bytes:
    """What binds a record's ciphertext to its row."""
    return record_type.encode() + b"\0" + key


def store(records: Sequence[Incoming], *, job: ImportJob, data_key_id: int) -> Answer:
    """What became of each record, within the caller's transaction. At most one record a key.

    A record that meets a newer origin is superseded. Raises KeyGoneError where the ciphertext's key is destroyed.
    """
    hold(job.customer_id, [data_key_id])
    return _classify(records, _UPSERT, {"customer": job.customer_id, "job": job.pk, "data_key": data_key_id})


def compare(records: Sequence[Incoming], *, customer_id: int) -> Answer:
    """What `store` would answer, with nothing written."""
    return _classify(records, _COMPARE, {"customer": customer_id})


def _classify(records: Sequence[Incoming], statement: str, parameters: dict[str, int]) -> Answer:
    with connection.cursor() as cursor:
        cursor.execute(_CREATE)
        copy_rows(cursor, _INCOMING, _COLUMNS, failpoints.each("copying", records))
        cursor.execute(_GROUP.format(statement), parameters)
        answer = cursor.fetchall()
        failpoints.hit("upserted")
        if sum(len(indexes) for _, indexes in answer) < len(records):
            cursor.execute(_GROUP.format(_SUPERSEDED), parameters)
            answer += cursor.fetchall()
        cursor.execute("DELETE FROM incoming_record")
    if sum(len(indexes) for _, indexes in answer) != len(records):
        # A record that nobody answered for must end the batch, not pass as superseded.
        raise RuntimeError("The table of records did not answer for every record.")
    return [(Outcome(letter.encode()), indexes) for letter, indexes in answer]
