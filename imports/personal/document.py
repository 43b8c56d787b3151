"""What is known of a person as one JSON document, for a request of access or of portability (GDPR, art. 15 and 20)."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec

from imports.personal.search import PLACES, Found, Place
from imports.personal.subject import Subject
from imports.progress import wire_time
from imports.results import as_sent

SECTIONS: Final[dict[Place, str]] = {
    "record": "records",
    "earlier": "earlierVersions",
    "failed": "failedRecords",
    "sent": "sent",
}
_encode = msgspec.json.encode


def document(subject: Subject, found: Iterable[Found], *, customer: str, at: datetime) -> dict[str, Any]:
    """Every content under the place where it was found. `data` is msgspec.Raw, text where it is no JSON."""
    sections: dict[str, list[dict[str, Any]]] = {SECTIONS[place]: [] for place in PLACES}
    for content in found:
        sections[SECTIONS[content.place]].append(_entry(content))
    return {
        "customer": customer,
        "id": subject.external_id,
        "exportedAt": wire_time(at),
        "counts": {section: len(entries) for section, entries in sections.items()},
        **sections,
    }


def as_json(content: dict[str, Any]) -> bytes:
    """Pretty enough to be read by the person it is about."""
    return msgspec.json.format(_encode(content), indent=2) + b"\n"


def _entry(found: Found) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": found.type or None,
        "isRelated": found.tie == "related",
        "jobId": str(found.job.uuid),
        "index": found.index,
        "at": wire_time(found.at),
        **found.about,
        "data": as_sent(found.content),
    }
    if found.edited is not None:
        entry["edited"] = as_sent(found.edited)
    return entry
