"""A person whose data lies in every place there is, among others who must not notice anything."""

import json
import subprocess
from typing import Any

from django.db import connection

from config.embedded.binaries import postgres_directory
from customers.keyring import keyring
from imports import batching, mending
from imports.intake import payload_row
from imports.models import FailedRecord, ImportBatch, ImportJob
from imports.reencryption import ENCRYPTED
from tests.imports.pipeline import Caller, acting_as_command, push, record, records, run
from tests.live import test_database_url as database_url

ADA = "ada-1815"
CANARY = "Lovelace"


def ada(**members: Any) -> dict[str, Any]:
    """The person as a record; every content of hers holds the canary."""
    return record(ADA, attributes={"name": f"Ada {CANARY}"}, **members)


def bad_ada() -> dict[str, Any]:
    return ada(customFields={f"note on {CANARY}": 7})


def everywhere(caller: Caller) -> list[ImportJob]:
    """Imports that stored, changed and failed her, an edit, a dry run, and one that is still to be worked on."""
    jobs = [
        run(caller, [*records(12), ada(), *records(12, "B")]),
        run(caller, [*records(3, "C"), ada(customFields={"segment": CANARY}), ada(customFields={"segment": "new"})]),
        run(caller, [bad_ada(), *records(3, "D"), record("someone", customFields={"tier": 7})]),
        run(caller, [bad_ada(), *records(3, "E")], kind=ImportJob.Kind.DRY_RUN),
        run(caller, [record(ADA, "machine", attributes={"name": CANARY}), *records(2, "F")]),
    ]
    mended = run(caller, [bad_ada()])
    failure = FailedRecord.objects.get(job=mended)
    with acting_as_command():
        mending.edit(failure, json.dumps(ada()).encode(), attempt=1)
    jobs.append(mended)
    jobs.append(push(caller, [*records(12, "G"), ada(customFields={"segment": "pending"})]))
    return jobs


def everything_of(caller: Caller) -> bytes:
    """All that the database holds of the customer, opened: every encrypted column, payloads unpacked."""
    keys = keyring(caller.customer.pk)
    parts: list[bytes] = []
    for column in ENCRYPTED:
        if column.purpose != "record":
            continue
        opener = keys.opener(column.sealed_as or column.table, column.column)
        binding = ", ".join((f"t.{column.column}", *column.binding)).replace("t.index", 't."index"')
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {binding} FROM {column.source} WHERE {column.owner} = %s AND t.{column.column} IS NOT NULL",
                [caller.customer.pk],
            )
            rows = cursor.fetchall()
        for blob, *bound in rows:
            plain = opener.open(bytes(blob), column.row(*bound))
            parts += batching.unpack(plain) if column.table == "imports_importbatch" else [plain]
    return b"\n".join(parts)


def dump() -> bytes:
    """The whole database as pg_dump writes it."""
    return subprocess.run(
        [postgres_directory() / "pg_dump", "--no-owner", database_url()], check=True, capture_output=True, timeout=120
    ).stdout


def sent(job: ImportJob) -> list[bytes]:
    """What is kept of what the job sent, in the order of its records."""
    keys = keyring(job.customer_id).opener("imports_importbatch", "payload")
    raws: list[bytes] = []
    for batch in ImportBatch.objects.filter(job=job).order_by("first_index"):
        raws += batching.unpack(keys.open(bytes(batch.payload or b""), payload_row(job.uuid, batch.sequence)))
    return raws
