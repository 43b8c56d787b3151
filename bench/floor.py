"""What the same bytes cost with nothing of Longshore around them. Libraries and PostgreSQL only."""

import hashlib
import os
import time
from typing import Any

import msgspec
import psycopg
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

BATCH = 5_000
_CHUNK = 1 << 20


class _Body(msgspec.Struct):
    metadata: msgspec.Raw
    records: list[msgspec.Raw]


class IntakeFloor:
    """SHA-256, split, zstd, AES-256-GCM and one committed COPY of a body."""

    def __init__(self, database_url: str) -> None:
        self._connection = psycopg.connect(database_url, autocommit=True)
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS bench_batch (job int8, sequence int4, payload bytea STORAGE EXTERNAL)"
        )

    def measure(self, body: bytes) -> float:
        """Seconds."""
        self._connection.execute("TRUNCATE bench_batch")
        key = AESGCM(os.urandom(32))
        began = time.perf_counter()
        hashlib.sha256(body).digest()
        records = msgspec.json.decode(body, type=_Body).records
        compress = zstandard.ZstdCompressor(level=1).compress
        rows = [
            (1, sequence, key.encrypt(os.urandom(12), compress(b"\n".join(records[first : first + BATCH])), None))
            for sequence, first in enumerate(range(0, len(records), BATCH))
        ]
        with (
            self._connection.transaction(),
            self._connection.cursor() as cursor,
            cursor.copy("COPY bench_batch FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.set_types(["int8", "int4", "bytea"])
            for row in rows:
                copy.write_row(row)
        return time.perf_counter() - began


class StoreFloor:
    """A binary COPY of stored records into the same table with its indexes, without triggers."""

    def __init__(self, database_url: str) -> None:
        self._connection = psycopg.connect(database_url, autocommit=True)
        self._connection.execute("DROP TABLE IF EXISTS bench_record")
        self._connection.execute("CREATE TABLE bench_record (LIKE imports_record INCLUDING ALL)")

    def measure(self) -> float:
        """Seconds to copy all rows of imports_record; they are read into memory before the clock starts."""
        chunks = self._rows()
        self._connection.execute("TRUNCATE bench_record")
        began = time.perf_counter()
        with (
            self._connection.transaction(),
            self._connection.cursor() as cursor,
            cursor.copy("COPY bench_record FROM STDIN (FORMAT BINARY)") as copy,
        ):
            for chunk in chunks:
                copy.write(chunk)
        return time.perf_counter() - began

    def _rows(self) -> list[bytes]:
        chunks: list[bytes] = []
        rest = bytearray()
        with (
            self._connection.cursor() as cursor,
            cursor.copy("COPY imports_record TO STDOUT (FORMAT BINARY)") as copy,
        ):
            for piece in copy:
                rest += piece
                if len(rest) >= _CHUNK:
                    chunks.append(bytes(rest))
                    rest.clear()
        return [*chunks, bytes(rest)]

    def facts(self) -> dict[str, Any]:
        """Rows and bytes of the last measurement."""
        row = self._connection.execute(
            "SELECT count(*), pg_table_size('bench_record'), pg_indexes_size('bench_record') FROM bench_record"
        ).fetchone()
        assert row is not None
        return dict(zip(("rows", "table_bytes", "index_bytes"), row, strict=True))
