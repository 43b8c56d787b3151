"""What each record held before a change, kept by the transaction that changes it."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from django.db import OperationalError
from django.db.backends.utils import CursorWrapper
from psycopg import errors

CONTENT: Final = (
    "payload",
    "fingerprint",
    "data_key_id",
    "origin_job_id",
    "origin_index",
    "changed_job_id",
    "changed_index",
    "created_at",
    "updated_at",
    "confirmed_count",
    "is_undone",
    "has_superseded",
)
"""The columns that imports_record and imports_recordversion share."""

# Every row that the upsert will touch is locked here, in the order of the keys, so that no two workers meet crosswise
# between the two statements. LIMIT keeps the look-ups on the index: the temporary table has no statistics.
_KEEP: Final = f"""
    WITH kept AS (
        INSERT INTO imports_recordversion (customer_id, type, key, job_id, index, replaced_at, {", ".join(CONTENT)})
        SELECT %(customer)s, incoming.type, incoming.key, %(job)s, incoming.index, now(),
            {", ".join(f"stored.{column}" for column in CONTENT)}
        FROM (SELECT index, type, key, fingerprint FROM incoming_record ORDER BY type, key) incoming
        CROSS JOIN LATERAL (
            SELECT * FROM imports_record
            WHERE customer_id = %(customer)s AND type = incoming.type AND key = incoming.key
            LIMIT 1 FOR NO KEY UPDATE
        ) stored
        WHERE stored.fingerprint <> incoming.fingerprint
            AND (stored.origin_job_id, stored.origin_index) < (%(job)s, incoming.index)
        RETURNING index, data_key_id
    )
    SELECT array_agg(index), array_agg(DISTINCT data_key_id) FROM kept
"""  # noqa: S608 - our own names


class Kept(NamedTuple):
    """The indexes of the records that replace something, and the data keys that this is encrypted under."""

    indexes: list[int]
    data_key_ids: list[int]


def keep(cursor: CursorWrapper, *, customer_id: int, job_id: int) -> Kept:
    """Keeps what the rows of incoming_record are about to replace, and locks all that they are about to meet."""
    cursor.execute(_KEEP, {"customer": customer_id, "job": job_id})
    indexes, data_key_ids = cursor.fetchone()
    return Kept(indexes or [], data_key_ids or [])


def refuse_unseen(updated: Sequence[int], kept: Kept) -> None:
    """Raises OperationalError, as after a serialization failure, where something was replaced that was not kept.

    Another transaction created that record between the two statements. Run again, this one sees it.
    """
    if len(updated) != len(kept.indexes) or set(updated) != set(kept.indexes):
        raise OperationalError("A record came into being while its batch was stored.") from errors.SerializationFailure(
            "records were created by another transaction"
        )
