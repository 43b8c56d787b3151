"""Every encrypted column of the house, and how what lies under an old data key comes under the new one.

The work's state is the ciphertexts themselves, whose header names their key: a kill at any moment loses nothing, and
whoever goes on finds what is left. Rows are locked in the order of their keys and those that somebody holds are
skipped, so this waits for nobody while it holds a row. Each chunk is one transaction, after which its rows are whole.
"""

import logging
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from django.db import connection, transaction

from customers.cipher import VERSION, DecryptionError
from customers.keyring import Keyring, Sealing, fresh, hold
from customers.models import DataKey
from imports.copying import copy_rows
from imports.failures import failure_row
from imports.intake import payload_row
from imports.storing import record_row

logger = logging.getLogger(__name__)

CHUNK_ROWS: Final = 2_000
CHUNK_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class EncryptedColumn:
    """Where ciphertext lies. `source` calls the table t; `owner` is its customer's id, `key` orders and locks its rows.

    `binding` are the columns that `row` turns into what the ciphertext is bound to. `fetch` rows are read at a time.
    `sealed_as` is the table that its ciphertext was made for, where it is moved here as it is.
    """

    table: str
    column: str
    source: str
    owner: str
    key: tuple[str, ...]
    binding: tuple[str, ...]
    row: Callable[..., bytes]
    purpose: Sealing = "record"
    stamp: str = ""
    fetch: int = 500
    sealed_as: str = ""

    @property
    def sealed_for(self) -> tuple[str, str]:
        """Table and column that its ciphertext is bound to."""
        return self.sealed_as or self.table, self.column


_OF_JOB: Final = "imports_importjob job JOIN {} t ON t.job_id = job.id"


def _record_row(record_type: str, key: bytes) -> bytes:
    return record_row(record_type, bytes(key))


ENCRYPTED: Final = (
    EncryptedColumn(
        "imports_record",
        "payload",
        source="imports_record t",
        owner="t.customer_id",
        key=("t.type", "t.key"),
        binding=("t.type", "t.key"),
        row=_record_row,
        stamp="data_key_id",
    ),
    EncryptedColumn(
        "imports_recordversion",
        "payload",
        source="imports_recordversion t",
        owner="t.customer_id",
        key=("t.type", "t.key", "t.job_id", "t.index"),
        binding=("t.type", "t.key"),
        row=_record_row,
        stamp="data_key_id",
        sealed_as="imports_record",
    ),
    EncryptedColumn(
        "imports_importbatch",
        "payload",
        source=_OF_JOB.format("imports_importbatch"),
        owner="job.customer_id",
        key=("t.job_id", "t.sequence"),
        binding=("job.uuid", "t.sequence"),
        row=payload_row,
        fetch=4,
    ),
    *(
        EncryptedColumn(
            "imports_failedrecord",
            column,
            source=_OF_JOB.format("imports_failedrecord"),
            owner="job.customer_id",
            key=("t.job_id", "t.index"),
            binding=("job.uuid", "t.index"),
            row=failure_row,
            fetch=100,
        )
        for column in ("payload", "problems", "edited")
    ),
    EncryptedColumn(
        "imports_importjob",
        "metadata",
        source="imports_importjob t",
        owner="t.customer_id",
        key=("t.id",),
        binding=("t.uuid",),
        row=lambda job_uuid: job_uuid.bytes,
    ),
    EncryptedColumn(
        "customers_hmackey",
        "secret",
        source="customers_hmackey t",
        owner="t.customer_id",
        key=("t.id",),
        binding=("t.key_id",),
        row=lambda key_id: key_id.encode(),
        purpose="secret",
    ),
)
# Binary columns that hold no ciphertext of a data key, so that a new column is either here or above.
PLAIN: Final = frozenset(
    {
        ("customers_datakey", "wrapped"),  # under a master key, see manage.py rewrap_data_keys
        ("imports_record", "key"),
        ("imports_record", "fingerprint"),
        ("imports_recordversion", "key"),
        ("imports_recordversion", "fingerprint"),
        ("imports_importbatch", "outcomes"),
        ("imports_importjob", "idempotency_digest"),
        ("imports_importjob", "body_digest"),
        ("imports_importpart", "body_digest"),
        ("imports_failedrecord", "key"),
        ("imports_failedrecord", "group_key"),
    }
)

_UNDER: Final = "substring({}.{} FROM 1 FOR 5) = %(header)s"
_CREATE: Final = """
    CREATE TEMP TABLE IF NOT EXISTS reencrypted (id int8, ciphertext bytea) ON COMMIT DELETE ROWS
"""
# The temporary table has no statistics, and a plan that reads the whole table for each chunk would never end.
_BY_INDEX: Final = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"


def reencrypt(data_key: DataKey) -> Iterator[int]:
    """One pass over everything under a retired key, a committed chunk a step: how many ciphertexts it moved.

    What somebody holds at that moment is left for the next pass, and so is what does not open, which is logged.
    """
    keys = fresh(data_key.customer_id)
    for column in _columns_of(data_key):
        after: tuple[Any, ...] | None = None
        while True:
            moved, after = _move_chunk(column, data_key, keys, after)
            if after is None:
                break
            yield moved


def remaining(data_key: DataKey) -> int:
    """How many ciphertexts lie under this key, held ones and those of finished jobs included."""
    return sum(_count(column, data_key) for column in _columns_of(data_key))


def is_empty(data_key: DataKey) -> bool:
    return remaining(data_key) == 0


def _columns_of(data_key: DataKey) -> list[EncryptedColumn]:
    return [column for column in ENCRYPTED if column.purpose == data_key.purpose]


def _header(data_key: DataKey) -> bytes:
    return struct.pack(">BI", VERSION, data_key.pk)


def _count(column: EncryptedColumn, data_key: DataKey) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM {column.source} WHERE {column.owner} = %(customer)s "  # noqa: S608 - our own names
            f"AND {_UNDER.format('t', column.column)}",
            {"customer": data_key.customer_id, "header": _header(data_key)},
        )
        return int(cursor.fetchone()[0])


def _move_chunk(
    column: EncryptedColumn, data_key: DataKey, keys: Keyring, after: tuple[Any, ...] | None
) -> tuple[int, tuple[Any, ...] | None]:
    """How many were moved, and the key of the last row seen; None where there was none."""
    purpose = cast(Sealing, data_key.purpose)
    sealer = keys.sealer(*column.sealed_for, purpose=purpose)
    if sealer.data_key_id == data_key.pk:
        raise RuntimeError(f"Data key {data_key.pk} is not retired, so nothing takes its place.")
    opener = keys.opener(*column.sealed_for, purpose=purpose)
    rows: list[tuple[int, bytes]] = []
    last: tuple[Any, ...] | None = None
    with transaction.atomic():
        hold(data_key.customer_id, [sealer.data_key_id])
        for number, ciphertext, binding, key in _read(column, data_key, after):
            last = key
            row = column.row(*binding)
            try:
                rows.append((number, sealer.seal(opener.open(ciphertext, row), row)))
            except DecryptionError as error:
                logger.error(
                    "ciphertext_unreadable table=%s column=%s id=%s cause=%s",
                    column.table,
                    column.column,
                    number,
                    error.code,
                )
        if rows:
            _write(column, data_key, sealer.data_key_id, rows)
    return len(rows), last


def _read(
    column: EncryptedColumn, data_key: DataKey, after: tuple[Any, ...] | None
) -> Iterator[tuple[int, bytes, tuple[Any, ...], tuple[Any, ...]]]:
    """Locks and yields rows in the order of their keys until the chunk is full. A cursor, so that big ones fit."""
    names = ", ".join(("t.id", f"t.{column.column}", *column.binding, *column.key)).replace("t.index", 't."index"')
    key = ", ".join(column.key).replace("t.index", 't."index"')
    parameters: dict[str, Any] = {"customer": data_key.customer_id, "header": _header(data_key)}
    beyond = ""
    if after is not None:
        beyond = f"AND ({key}) > ({', '.join(f'%(after{place})s' for place in range(len(after)))})"
        parameters |= {f"after{place}": value for place, value in enumerate(after)}
    statement = (
        f"SELECT {names} FROM {column.source} WHERE {column.owner} = %(customer)s {beyond} "  # noqa: S608
        f"AND {_UNDER.format('t', column.column)} ORDER BY {key} FOR NO KEY UPDATE OF t SKIP LOCKED"
    )
    size, count = 0, 0
    bound = 2 + len(column.binding)
    with connection.chunked_cursor() as cursor:
        cursor.execute(statement, parameters)
        while count < CHUNK_ROWS and size < CHUNK_BYTES:
            wanted = min(column.fetch, CHUNK_ROWS - count)
            fetched = cursor.fetchmany(wanted)
            for row in fetched:
                count += 1
                size += len(row[1])
                yield row[0], bytes(row[1]), row[2:bound], row[bound:]
            if len(fetched) < wanted:
                return


def _write(column: EncryptedColumn, data_key: DataKey, new_id: int, rows: list[tuple[int, bytes]]) -> None:
    stamp = f", {column.stamp} = %(new)s" if column.stamp else ""
    with connection.cursor() as cursor:
        cursor.execute(_CREATE)
        cursor.execute(_BY_INDEX)
        copy_rows(cursor, "reencrypted", {"id": "int8", "ciphertext": "bytea"}, rows)
        cursor.execute(
            f"UPDATE {column.table} t SET {column.column} = moved.ciphertext{stamp} "  # noqa: S608 - our own names
            f"FROM reencrypted moved WHERE t.id = moved.id AND {_UNDER.format('t', column.column)}",
            {"header": _header(data_key), "new": new_id},
        )
        if cursor.rowcount != len(rows):
            raise RuntimeError(f"{column.table} took {cursor.rowcount} of {len(rows)} re-encrypted rows.")
