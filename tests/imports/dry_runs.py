"""From a body to a finished dry run, and what it would change."""

import json
from collections.abc import Sequence
from typing import Any

from imports import changes
from imports.models import ImportJob
from tests.imports.pipeline import Caller, account_of, run


def dry_run(caller: Caller, sent: Sequence[Any] | bytes, **others: Any) -> ImportJob:
    """The finished dry run."""
    return run(caller, sent, kind=ImportJob.Kind.DRY_RUN, **others)


def changes_of(job: ImportJob) -> list[dict[str, Any]]:
    """The lines of its changes as they go over the wire, numbers as text so that their digits count."""
    current = account_of(job)
    pieces = (piece for batch in changes.batches_of(current) for piece in changes.pieces_of(current, batch))
    lines = b"".join(changes.as_ndjson(piece) for piece in pieces).splitlines()
    return [json.loads(line, parse_float=str) for line in lines]
