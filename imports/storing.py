"""Checked records into the table of records: one COPY, one set-based upsert."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from django.db import connection
from django.db.backends.utils import CursorWrapper

from customers.keyring import hold
from imports import failpoints, versions
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

_INSERT: Final = """
    INSERT INTO imports_record AS stored (
        customer_id, type, key, payload, fingerprint, data_key_id,
        origin_job_id, origin_index, changed_job_id, changed_index, created_at, updated_at
    )
    SELECT %(customer)s, type, key, payload, fingerprint, %(data_key)s,
        %(job)s, index, %(job)s, index, now(), now()
    FROM incoming_record ORDER BY type, key
    ON CONFLICT (customer_id, type, key)
"""

# A few tell whether the others are known, as a batch is most often all new or all known. Where they mislead it costs
# time and no more.
_IS_KNOWN: Final = """
    SELECT EXISTS (
        SELECT FROM (SELECT type, key FROM incoming_record LIMIT 8) incoming
        CROSS JOIN LATERAL (
            SELECT FROM imports_record WHERE customer_id = %(customer)s AND type = incoming.type AND key = incoming.key
            LIMIT 1
        ) stored
    )
"""

# What is new goes in without a look at what it might replace: so a first import pays nothing for undo.
_NEW: Final = f"{_INSERT} DO NOTHING RETURNING origin_index AS index, 'c' AS outcome"

# A later origin wins, whatever order the workers finish in. The same content moves the origin and nothing else, so that
# an older job still under way cannot put its stale content back; docs/decisions/0021 says why that is never left out.
# Rows are taken in key order: no two workers meet crosswise.
_UPSERT: Final = f"""
    {_INSERT} DO UPDATE SET
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
            THEN stored.updated_at ELSE excluded.updated_at END,
        confirmed_count = CASE WHEN stored.fingerprint = excluded.fingerprint
            THEN stored.confirmed_count + 1 ELSE 0 END,
        is_undone = stored.is_undone AND stored.fingerprint = excluded.fingerprint,
        has_superseded = stored.has_superseded AND stored.fingerprint = excluded.fingerprint
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

# An undo of what is stored could not put these in its place, so it must know of them. A job is undone as a whole.
_NOTE_SUPERSEDED: Final = """
    UPDATE imports_record SET has_superseded = true WHERE id = ANY(ARRAY(
        SELECT stored.id FROM incoming_record incoming
        CROSS JOIN LATERAL (
            SELECT id, origin_job_id, has_superseded FROM imports_record
            WHERE customer_id = %(customer)s AND type = incoming.type AND key = incoming.key LIMIT 1
        ) stored
        WHERE incoming.index = ANY(%(superseded)s) AND stored.origin_job_id <> %(job)s AND NOT stored.has_superseded
    ))
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

    A record that meets a newer origin is superseded. What others replace is kept for an undo. Raises KeyGoneError where
    the ciphertext's key is destroyed, OperationalError where the transaction must run again.
    """
    hold(job.customer_id, [data_key_id])
    parameters = {"customer": job.customer_id, "job": job.pk, "data_key": data_key_id}
    with connection.cursor() as cursor:
        _load(cursor, records)
        cursor.execute(_IS_KNOWN, parameters)
        answer = {} if cursor.fetchone()[0] else _ask(cursor, _NEW, parameters)
        if _count(answer) < len(records):
            _store_known(cursor, answer, parameters, count=len(records))
        failpoints.hit("upserted")
        return _classified(cursor, answer, records)


def _store_known(
    cursor: CursorWrapper, answer: dict[str, list[int]], parameters: dict[str, int], *, count: int
) -> None:
    """Adds to `answer` what becomes of all that it does not name."""
    if "c" in answer:
        cursor.execute("DELETE FROM incoming_record WHERE index = ANY(%s)", [answer["c"]])
    kept = versions.keep(cursor, customer_id=parameters["customer"], job_id=parameters["job"])
    if set(kept.data_key_ids) - {parameters["data_key"]}:
        hold(parameters["customer"], kept.data_key_ids)
    for outcome, indexes in _ask(cursor, _UPSERT, parameters).items():
        answer.setdefault(outcome, []).extend(indexes)
    versions.refuse_unseen(answer.get("u", []), kept)
    if _count(answer) < count:
        answer |= _ask(cursor, _SUPERSEDED, parameters)
        cursor.execute(_NOTE_SUPERSEDED, {**parameters, "superseded": answer.get("s", [])})


def compare(records: Sequence[Incoming], *, customer_id: int) -> Answer:
    """What `store` would answer, with nothing written."""
    with connection.cursor() as cursor:
        _load(cursor, records)
        answer = _ask(cursor, _COMPARE, {"customer": customer_id})
        return _classified(cursor, answer, records)


def _load(cursor: CursorWrapper, records: Sequence[Incoming]) -> None:
    cursor.execute(_CREATE)
    copy_rows(cursor, _INCOMING, _COLUMNS, failpoints.each("copying", records))


def _ask(cursor: CursorWrapper, statement: str, parameters: dict[str, int]) -> dict[str, list[int]]:
    cursor.execute(_GROUP.format(statement), parameters)
    return dict(cursor.fetchall())


def _count(answer: dict[str, list[int]]) -> int:
    return sum(len(indexes) for indexes in answer.values())


def _classified(cursor: CursorWrapper, answer: dict[str, list[int]], records: Sequence[Incoming]) -> Answer:
    cursor.execute("DELETE FROM incoming_record")
    if _count(answer) != len(records):
        # A record that nobody answered for must end the batch, not pass as superseded.
        raise RuntimeError("The table of records did not answer for every record.")
    return [(Outcome(letter.encode()), indexes) for letter, indexes in answer.items()]
