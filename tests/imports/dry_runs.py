"""From a body to a finished dry run, and on to its commit."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from imports import changes
from imports.committing import commit
from imports.models import ImportJob
from imports.parts import digest_of
from tests.imports.pipeline import Caller, account_of, calling, run, submission


def dry_run(caller: Caller, sent: Sequence[Any] | bytes, **others: Any) -> ImportJob:
    """The finished dry run."""
    return run(caller, sent, kind=ImportJob.Kind.DRY_RUN, **others)


def commit_of(caller: Caller, job: ImportJob, digest: bytes | None = None, **others: Any) -> ImportJob:
    """The import that the dry run is committed as."""
    with calling(caller):
        current = ImportJob.objects.get(pk=job.pk)
        return commit(current, submission(caller, b"", **others), digest=digest or digest_of(current) or b"")


def changes_of(job: ImportJob) -> list[dict[str, Any]]:
    """The lines of its changes as they go over the wire, numbers as text so that their digits count."""
    current = account_of(job)
    pieces = (piece for batch in changes.batches_of(current) for piece in changes.pieces_of(current, batch))
    lines = b"".join(changes.as_ndjson(piece) for piece in pieces).splitlines()
    return [json.loads(line, parse_float=str) for line in lines]


def digest_over(*bodies: bytes) -> bytes:
    """As docs/callers.md has it for parts."""
    return hashlib.sha256(b"".join(hashlib.sha256(body).digest() for body in bodies)).digest()
