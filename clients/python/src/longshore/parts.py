"""One import sent in several parts: opened, filled part by part, closed. What has arrived is never sent again."""

import json
from dataclasses import dataclass
from typing import Any, Protocol

from longshore.body import MemoryBody, OnBytes
from longshore.calls import Call
from longshore.errors import FixFile, LongshoreError
from longshore.payload import MEDIA_TYPES, Look, Options, look_at
from longshore.source import Opened, open_source
from longshore.splitting import Part, metadata_of, split

PART_BYTES = 32_000_000
SPLIT_OVER_BYTES = 128_000_000
SMALLEST_PART_BYTES = 1_000

Query = tuple[tuple[str, str], ...]


class Asking(Protocol):
    """One call and its JSON."""

    def __call__(self, call: Call, *, on_bytes: OnBytes | None = None) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Pushed:
    """The job after its close; `sent_parts` leaves out those that had arrived before."""

    job_id: str
    parts: int
    sent_parts: int
    size: int
    answer: dict[str, Any]


def push_in_parts(
    ask: Asking,
    api: str,
    data: Any,
    options: Options,
    *,
    idempotency_key: str,
    part_bytes: int,
    resume: str | None,
    on_bytes: OnBytes | None,
    retries: Query,
    dry_run: bool = False,
) -> Pushed:
    """Opens a job with `retries` in its address (or goes on with `resume`), sends what is missing, closes it.

    LongshoreError carries the job's id as `job_id` once there is one: resume with it. FixFile where `data` is another
    file than the one that the job was begun with.
    """
    opened = open_source(data)
    try:
        look = look_at(opened, options)
        job_id = resume or _open(ask, api, metadata_of(opened, look), idempotency_key, retries, dry_run)
        here = f"{api}/imports/{job_id}"
        try:
            return _fill(ask, here, job_id, opened, look, options, part_bytes, on_bytes)
        except (LongshoreError, KeyboardInterrupt) as err:
            err.job_id = job_id  # type: ignore[union-attr]
            raise
    finally:
        opened.close()


def _open(ask: Asking, api: str, metadata: bytes, idempotency_key: str, retries: Query, dry_run: bool) -> str:
    body = MemoryBody([b'{"metadata":', metadata, b',"dryRun":true}' if dry_run else b"}"])
    headers = {"Idempotency-Key": idempotency_key}
    call = Call(
        "POST",
        f"{api}/imports",
        query=retries,
        headers=headers,
        content_type=MEDIA_TYPES["json"],
        body=body,
        has_idempotency_key=True,
    )
    return str(ask(call)["jobId"])


def _fill(
    ask: Asking,
    here: str,
    job_id: str,
    opened: Opened,
    look: Look,
    options: Options,
    part_bytes: int,
    on_bytes: OnBytes | None,
) -> Pushed:
    listed = ask(Call("GET", f"{here}/parts"))
    arrived = {int(part["part"]): str(part["digest"]) for part in listed["parts"]}
    is_open = listed.get("openUntil") is not None
    query = (("type", options.type),) if look.format == "csv" and options.type else ()
    progress = _Uploaded(opened.text_size(), on_bytes)
    number = records = size = sent = 0
    gzip = opened.is_gzipped if options.gzip is None else options.gzip
    for part in split(opened, look, part_bytes=part_bytes, gzip=gzip):
        number, records, size = part.number, records + part.records, size + part.body.size
        if arrived.get(number, part.body.sha256) != part.body.sha256:
            raise _another_file(opened.name, number, job_id)
        if is_open and number not in arrived:
            path, content_type = f"{here}/parts/{number}", MEDIA_TYPES[look.format]
            call = Call("PUT", path, query=query, content_type=content_type, body=part.body)
            ask(call, on_bytes=progress.of(part))
            sent += 1
        progress.done(part)
    if not number:
        raise FixFile("file_empty", f"{opened.name} holds no records.", hint="Name a file with records in it.")
    closing = json.dumps({"parts": number, "records": records}).encode()
    answer = ask(Call("POST", f"{here}/close", content_type=MEDIA_TYPES["json"], body=MemoryBody([closing])))
    return Pushed(job_id, number, sent, size, answer)


class _Uploaded:
    """Bytes of the file that are with the server, those of earlier tries included."""

    def __init__(self, total: int | None, on_bytes: OnBytes | None) -> None:
        self._total = total
        self._on_bytes = on_bytes
        self._done = 0

    def of(self, part: Part) -> OnBytes:
        def on_bytes(phase: str, sent: int, total: int | None) -> None:
            self._tell(self._done + part.source_bytes * sent // max(total or sent, 1))

        return on_bytes

    def done(self, part: Part) -> None:
        self._done += part.source_bytes
        self._tell(self._done)

    def _tell(self, done: int) -> None:
        if self._on_bytes:
            self._on_bytes("sending", min(done, self._total or done), self._total)


def _another_file(name: str, number: int, job_id: str) -> FixFile:
    return FixFile(
        "parts_differ",
        f"Part {number} of import {job_id} has arrived with another content than {name} has there.",
        hint="Resume with the same file and the same --part-size, or cancel that import and push anew.",
    )
