"""What a server says of an import, and where."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from tests.clients.loopback import JOB, Reply

API = "/api/v1/imports"
STATUS = f"{API}/{JOB}"
DOCUMENT = b'{"metadata":{},"records":[]}'

# A command line -> its exit status, standard output and standard error.
Run = Callable[..., SimpleNamespace]


def answer(status: str = "completed", processed: int = 1_000, failed: int = 0, **more: Any) -> Reply:
    body: dict[str, Any] = {
        "jobId": JOB,
        "kind": "import",
        "status": status,
        "statusReason": None,
        "progress": {"total": 1_000, "processed": processed, "failed": failed},
        "outcomes": {"created": processed - failed, "updated": 0, "unchanged": 0, "superseded": 0, "unprocessed": 0},
        "errors": [],
        "errorSummary": [],
        "rate": 500.0,
        "eta": None,
        "createdAt": "2024-03-15T00:00:00.000Z",
        "startedAt": "2024-03-15T00:00:00.500Z",
        "finishedAt": "2024-03-15T00:00:02.500Z" if status in ("completed", "failed") else None,
    }
    return Reply(200, {**body, **more})


FAILURES: dict[str, Any] = {
    "errors": [
        {
            "record": "C-7",
            "error": "customFields has 51 members.",
            "index": 6,
            "code": "too_many",
            "pointer": "/custom",
        },
        {"record": "#8", "error": "id is missing.", "index": 8, "code": "missing", "pointer": "/id"},
    ],
    "errorSummary": [
        {"code": "missing", "pointer": "/id", "count": 1},
        {"code": "too_many", "pointer": "/custom", "count": 37},
    ],
}
