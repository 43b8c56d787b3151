"""The importable client: one method for each thing a caller does."""

import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, Unpack, cast

import httpx2

from longshore import exact
from longshore.body import MemoryBody, OnBytes
from longshore.calls import Call, OnWait, Session
from longshore.config import Config
from longshore.errors import FixConfiguration, LongshoreError, TryLater
from longshore.parts import PART_BYTES, SMALLEST_PART_BYTES, SPLIT_OVER_BYTES, Query, push_in_parts
from longshore.patience import Timing
from longshore.payload import MEDIA_TYPES, Options, Reading, prepare
from longshore.refusals import is_longshore, not_ours
from longshore.shapes import (
    ChangedRecord,
    Download,
    FailedRecord,
    Found,
    Import,
    KeptLine,
    Kind,
    Quality,
    Redrive,
    ResultLine,
    Undo,
    UndoPlan,
    Verdict,
    Verification,
)
from longshore.source import Source, is_regular_file, size_of
from longshore.watch import Progress, watch

API = "/api/v1"
DEFAULT_TIMEOUT_SECONDS = 60.0

_ACCEPTS = {"ndjson": f"{MEDIA_TYPES['ndjson']}, application/x-ndjson;q=0.9", "csv": "text/csv"}


@dataclass(frozen=True)
class Accepted:
    """The server's 202: the records are in its database. `answer` is its JSON; `parts` how many bodies it took."""

    job_id: str
    idempotency_key: str
    size: int
    is_gzipped: bool
    answer: Mapping[str, Any]
    parts: int = 1


@dataclass(frozen=True)
class SocketTicket:
    """One use, for a minute."""

    url: str
    ticket: str


class Client:
    """Calls to one server under one key. Thread-safe as httpx2.Client is; close it or use it in a `with`.

    `timeout` bounds each call in seconds, all its attempts and pauses together; `on_wait` hears of pauses.
    """

    def __init__(
        self,
        url: str,
        key_id: str,
        secret: str,
        *,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        on_wait: OnWait | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._config = Config.parse(url, key_id, secret)
        self._session = Session(self._config, timeout=timeout, on_wait=on_wait, timing=timing)

    @classmethod
    def from_environment(
        cls,
        *,
        url: str | None = None,
        key_id: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        on_wait: OnWait | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Self:
        """LONGSHORE_URL, LONGSHORE_KEY_ID and LONGSHORE_SECRET; FixConfiguration says which is missing."""
        config = Config.from_environment(url=url, key_id=key_id, environ=environ)
        client = cls.__new__(cls)
        client._config = config
        client._session = Session(config, timeout=timeout, on_wait=on_wait)
        return client

    @property
    def url(self) -> httpx2.URL:
        return self._config.url

    def __repr__(self) -> str:
        return f"Client({str(self.url)!r}, key_id={self._config.key.key_id!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._session.close()

    def push(
        self,
        data: Source,
        *,
        idempotency_key: str | None = None,
        on_bytes: OnBytes | None = None,
        resume: str | None = None,
        split_over: int = SPLIT_OVER_BYTES,
        part_bytes: int = PART_BYTES,
        retry_tries: int | None = None,
        retry_base_seconds: int | None = None,
        **reading: Unpack[Reading],
    ) -> Accepted:
        """Send a path, bytes, a binary stream or an iterable of records; return once the server has them.

        Retried under one Idempotency-Key (random unless given), so that it becomes one import whatever
        happens on the way; an error carries it as `idempotency_key` for another try with the same data.

        A file of more than `split_over` bytes, or too large for one body even when packed, is sent in parts of about
        `part_bytes` (before packing): one import still, and what has arrived is never sent again. An error then
        carries the import as `job_id`; give it as `resume` with the same file, or the same `idempotency_key`.

        `retry_tries` and `retry_base_seconds` say how often and after what longest first pause the server tries a
        passing failure of this import again; left out, the server decides. A resumed import keeps what it was given.
        """
        options, key = Options(**reading), _checked_key(idempotency_key)
        retries = _policy(retry_tries, retry_base_seconds)
        if part_bytes < SMALLEST_PART_BYTES:
            raise FixConfiguration("part_too_small", f"A part has at least {SMALLEST_PART_BYTES:,} bytes.")
        is_file = is_regular_file(data)
        if resume and not is_file:
            raise FixConfiguration("resume_needs_file", "Only a push of a file can be resumed.", hint="Name the file.")
        if is_file and (resume or size_of(data) > split_over):
            return self._push_in_parts(data, options, key, resume, part_bytes, on_bytes, retries)
        try:
            return self._submit("/imports/bulk", data, options, key, on_bytes, retries)[1]
        except LongshoreError as err:
            if not is_file or err.code not in ("too_large", "body_too_large"):
                raise
        return self._push_in_parts(data, options, key, resume, part_bytes, on_bytes, retries)

    def validate(
        self,
        data: Source,
        *,
        changes: bool = False,
        on_bytes: OnBytes | None = None,
        split_over: int = SPLIT_OVER_BYTES,
        part_bytes: int = PART_BYTES,
        **reading: Unpack[Reading],
    ) -> Verdict | Accepted:
        """A dry run. Beyond 20,000 records, and for a file that is sent in parts as push() does, it is a job: watch it,
        read its status and changes(), and commit() it.

        `changes` asks for the first 1,000 records of the verdict that would change, value by value, fractions as
        Decimal; the key needs the scope records:read for it.
        """
        options = Options(**reading)
        is_file = is_regular_file(data)
        if not (is_file and size_of(data) > split_over):
            asked: Query = (("changes", "true"),) if changes else ()
            try:
                answer, accepted = self._submit(
                    "/imports/validate", data, options, None, on_bytes, asked, loads=exact.loads
                )
            except LongshoreError as err:
                if not is_file or err.code not in ("too_large", "body_too_large"):
                    raise
            else:
                return accepted if accepted.job_id else cast(Verdict, answer)
        return self._push_in_parts(data, options, _checked_key(None), None, part_bytes, on_bytes, (), dry_run=True)

    def changes(self, job: str) -> Iterator[ChangedRecord]:
        """What a dry run would change as things stand now, in input order; fractions come as Decimal, to the digit.

        TryLater when the download breaks off: what came may be a part.
        """
        return cast(Iterator[ChangedRecord], _lines(self.download(job, "changes"), loads=exact.loads))

    def commit(
        self,
        job: str,
        *,
        digest: str | None = None,
        retry_tries: int | None = None,
        retry_base_seconds: int | None = None,
    ) -> Import:
        """Imports exactly what a finished dry run has checked; asked for again, it is the same import, whose id is
        `jobId`.

        `digest` names the content that is meant, as the dry run's status shows it; left out, it is read from there.
        FixRequest where it is another.
        """
        named = digest or str(self.status(job).get("digest") or "")
        body = MemoryBody([json.dumps({"digest": named}).encode()])
        call = Call(
            "POST",
            f"{_job_path(job)}/commit",
            query=_policy(retry_tries, retry_base_seconds),
            content_type=MEDIA_TYPES["json"],
            body=body,
        )
        return cast(Import, self._read(call))

    def status(self, job: str) -> Import:
        """The import's counts, outcomes and first errors."""
        return cast(Import, self._read(Call("GET", _job_path(job))))

    def quality(self, job: str) -> Quality:
        """How good what the import or dry run brought was, once it has ended."""
        return cast(Quality, self._read(Call("GET", f"{_job_path(job)}/quality")))

    def results(self, job: str, kind: Kind = "failed") -> Iterator[ResultLine]:
        """Record by record in input order. TryLater when the download breaks off: what came may be a part."""
        return cast(Iterator[ResultLine], _lines(self.download(job, kind)))

    def download(
        self, job: str, kind: Download = "failed", *, format: Literal["ndjson", "csv"] = "ndjson"
    ) -> Iterator[bytes]:
        """The same as the server sends it, in pieces."""
        yield from self._download(f"{_job_path(job)}/results/{kind}", _ACCEPTS[format])

    def _download(self, path: str, accept: str) -> Iterator[bytes]:
        call = Call("GET", path, headers={"Accept": accept}, is_streamed=True)
        response = self._session.send(call)
        try:
            yield from response.iter_bytes()
        except httpx2.RequestError as err:
            raise TryLater("download_broken", "The download broke off before its end.", hint="Run it again.") from err
        finally:
            response.close()

    def cancel(self, job: str) -> Import:
        """Batches that have not begun are dropped; records already stored stay."""
        return cast(Import, self._read(Call("POST", f"{_job_path(job)}/cancel", is_repeatable=False)))

    def retry(self, job: str) -> Redrive:
        """Has all open failed records of the import tried again; asked for twice meanwhile, it is one redrive."""
        return cast(Redrive, self._read(Call("POST", f"{_job_path(job)}/retry")))

    def redrive(self, redrive: str) -> Redrive:
        """How far it is."""
        return cast(Redrive, self._read(Call("GET", f"{API}/redrives/{_job_id(redrive)}")))

    def plan_undo(self, job: str) -> UndoPlan:
        """What an undo of the import would do as things stand; nothing is changed."""
        body = MemoryBody([b'{"preview":true}'])
        call = Call("POST", f"{_job_path(job)}/undo", content_type=MEDIA_TYPES["json"], body=body, is_repeatable=True)
        return cast(UndoPlan, self._read(call))

    def undo(self, job: str) -> Undo:
        """Takes the import back as if it had never been; asked for twice, it is one undo."""
        return cast(Undo, self._read(Call("POST", f"{_job_path(job)}/undo")))

    def undo_state(self, job: str) -> Undo:
        """How far the undo is; CheckId where none was asked for."""
        return cast(Undo, self._read(Call("GET", f"{_job_path(job)}/undo")))

    def kept_by_undo(self, job: str) -> Iterator[KeptLine]:
        """Record by record in input order what the undo leaves as it is, and why."""
        yield from _lines(self._download(f"{_job_path(job)}/undo/kept", _ACCEPTS["ndjson"]))

    def failed_records(
        self, *, job: str | None = None, code: str | None = None, state: str | None = "open"
    ) -> Iterator[FailedRecord]:
        """Newest first, page by page; `state` is open, retrying, resolved or discarded, None for all."""
        wanted = [("job", _job_id(job) if job else None), ("code", code), ("state", state)]
        query = [(name, value) for name, value in wanted if value]
        after: str | None = None
        while True:
            page = [*query, ("after", after)] if after else query
            answer = self._read(Call("GET", f"{API}/failed-records", query=page))
            yield from answer["failedRecords"]
            after = answer.get("next")
            if not after:
                return

    def lookup(self, type: str, id: str) -> Found:
        """One stored record by its business id; CheckId where there is none."""
        body = MemoryBody([json.dumps({"type": type, "id": id}, ensure_ascii=False).encode()])
        return cast(
            Found,
            self._read(Call("POST", f"{API}/records/lookup", content_type=MEDIA_TYPES["json"], body=body)),
        )

    def verify(self) -> tuple[Verification, str]:
        """What the server makes of our signature, and the string that we signed, to compare with its own."""
        call = Call("POST", f"{API}/auth/verify", is_repeatable=True)
        response, signature = self._session.send_signed(call)
        return cast(Verification, _object(response)), signature.string_to_sign

    def watch(self, job: str) -> Iterator[Progress]:
        """Progress until the import has ended, over the socket or by polling; the last one is the end."""
        return watch(self, _job_id(job), self._session.tls)

    def socket_ticket(self, job: str) -> SocketTicket:
        """A ticket for the live socket."""
        answer = self._read(Call("POST", f"{_job_path(job)}/socket-ticket", is_repeatable=False))
        return SocketTicket(str(answer.get("url", "")), str(answer.get("ticket", "")))

    def _submit(
        self,
        path: str,
        data: Source,
        options: Options,
        idempotency_key: str | None,
        on_bytes: OnBytes | None,
        asked: Query = (),
        *,
        loads: Callable[[bytes], Any] = json.loads,
    ) -> tuple[dict[str, Any], Accepted]:
        key = _checked_key(idempotency_key)
        with prepare(data, options, on_bytes=on_bytes) as payload:
            call = Call(
                "POST",
                API + path,
                query=(*payload.query, *asked),
                headers={"Idempotency-Key": key},
                content_type=payload.content_type,
                body=payload.body,
                has_idempotency_key=True,
            )
            try:
                answer = _object(self._session.send(call, on_bytes=on_bytes), loads=loads)
            except LongshoreError as err:
                err.idempotency_key = key
                raise
            job_id = str(answer.get("jobId") or "")
            return answer, Accepted(job_id, key, payload.body.size, payload.body.is_gzipped, answer)

    def _push_in_parts(
        self,
        data: Source,
        options: Options,
        key: str,
        resume: str | None,
        part_bytes: int,
        on_bytes: OnBytes | None,
        retries: Query,
        *,
        dry_run: bool = False,
    ) -> Accepted:
        try:
            pushed = push_in_parts(
                self._read,
                API,
                data,
                options,
                idempotency_key=key,
                part_bytes=part_bytes,
                resume=_job_id(resume) if resume else None,
                on_bytes=on_bytes,
                retries=retries,
                dry_run=dry_run,
            )
        except LongshoreError as err:
            err.idempotency_key = key
            raise
        return Accepted(pushed.job_id, key, pushed.size, bool(options.gzip), pushed.answer, pushed.parts)

    def _read(self, call: Call, *, on_bytes: OnBytes | None = None) -> dict[str, Any]:
        return _object(self._session.send(call, on_bytes=on_bytes))


def _policy(retry_tries: int | None, retry_base_seconds: int | None) -> Query:
    asked = (("retryTries", retry_tries), ("retryBaseSeconds", retry_base_seconds))
    return tuple((name, str(number)) for name, number in asked if number is not None)


def _lines(chunks: Iterator[bytes], *, loads: Callable[[bytes], Any] = json.loads) -> Iterator[Any]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for text in lines:
            if text:
                yield loads(text)
    if rest:
        yield loads(rest)


def _checked_key(idempotency_key: str | None) -> str:
    key = idempotency_key or str(uuid.uuid4())
    if not (0 < len(key) <= 255 and key.isascii() and key.isprintable() and '"' not in key):
        raise FixConfiguration("idempotency_key_malformed", "An Idempotency-Key is 1 to 255 letters, digits or signs.")
    return key


def _object(response: httpx2.Response, *, loads: Callable[[bytes], Any] = json.loads) -> dict[str, Any]:
    try:
        answer = loads(response.content) if is_longshore(response) else None
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise not_ours(response)
    return answer


def _job_path(job: str) -> str:
    return f"{API}/imports/{_job_id(job)}"


def _job_id(job: str) -> str:
    """The id alone, also out of a status address."""
    candidate = job.strip().rstrip("/").rpartition("/")[2]
    try:
        return str(uuid.UUID(candidate))
    except ValueError:
        raise FixConfiguration(
            "job_id_malformed", "That is no job id.", hint="Give the id that push printed."
        ) from None
