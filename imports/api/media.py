"""What a path takes: media types, size, whether it writes, whose quota it counts in. Judged before the body is read."""

import re
from dataclasses import dataclass, replace
from typing import Final

from customers.quotas import QuotaName
from imports.api.head import MAX_BODY_BYTES, Head, too_large
from imports.api.problems import Problem
from imports.envelope import CSV, JSON, NDJSON

VERIFY_PATH: Final = "/api/v1/auth/verify"
GZIP: Final = "gzip"

_SMALL: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Intake:
    """`media_types` empty: any. `writes` False: the call changes nothing, so its nonce needs no place in PostgreSQL.

    `makes_import`: the call makes an import job, so an Idempotency-Key and the limit of running imports are looked at
    before its body.
    """

    media_types: frozenset[str]
    max_bytes: int
    writes: bool
    quota: QuotaName = "status"
    makes_import: bool = False


_RECORDS: Final = Intake(frozenset({JSON, NDJSON, CSV}), MAX_BODY_BYTES, writes=True, quota="bulk")
_IMPORT: Final = replace(_RECORDS, makes_import=True)
_VALIDATION: Final = replace(_RECORDS, quota="validate")
_COMMAND: Final = Intake(frozenset({JSON}), _SMALL, writes=True)
# It takes in as much as the body of an import did.
_COMMIT: Final = replace(_COMMAND, quota="bulk")
_QUERY: Final = Intake(frozenset({JSON}), _SMALL, writes=False)
_VERIFY: Final = Intake(frozenset(), 64 * 1024, writes=False)

_EXACT: Final = {
    "/api/v1/imports/bulk": _IMPORT,
    "/api/v1/imports/validate": _VALIDATION,
    "/api/v1/records/lookup": _QUERY,
    VERIFY_PATH: _VERIFY,
}
_PART: Final = re.compile(r"/api/v1/imports/[^/]+/parts/[^/]+")
_COMMITTED: Final = re.compile(r"/api/v1/imports/[^/]+/commit")


def intake_of(head: Head) -> Intake:
    """What the path of this request takes; a path that nobody knows takes what a small command does."""
    if head.method in ("GET", "HEAD", "OPTIONS"):
        return _QUERY
    if head.path in _EXACT:
        return _EXACT[head.path]
    if _PART.fullmatch(head.path):
        return _RECORDS
    return _COMMIT if _COMMITTED.fullmatch(head.path) else _COMMAND


def media_type_of(head: Head, intake: Intake) -> str:
    """The bare media type of the body, "" without one. Raises Problem: 413 or 415."""
    if head.length > intake.max_bytes:
        raise too_large(intake.max_bytes)
    if head.content_encoding not in ("", GZIP):
        raise Problem("unsupported_encoding")
    if not head.length or not intake.media_types:
        return head.content_type.partition(";")[0].strip().lower()
    media_type = _bare(head.content_type)
    if media_type not in intake.media_types:
        raise Problem(
            "unsupported_media_type",
            f"This call takes {', '.join(sorted(intake.media_types))}, with charset=utf-8 as the only parameter.",
        )
    return media_type


def _bare(content_type: str) -> str:
    media_type, semicolon, parameter = content_type.partition(";")
    if semicolon and parameter.strip().lower().replace('"', "") != "charset=utf-8":
        return ""
    return media_type.strip().lower()
