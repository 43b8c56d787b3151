"""Every class of bad input, signed and sent to a running house, in each form that a body may have."""

import csv
import gzip
import io
import json
import time
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import psycopg
import pytest

from config import embedded
from imports.envelope import CSV, JSON, NDJSON
from tests.flows.foreign import Answer, call
from tests.flows.house import Credentials, House
from tests.hostile.bodies import CSV_METADATA, BodyCase, body_cases, document, lines
from tests.hostile.commands import QUERIES, small_bodies
from tests.hostile.corpora import naughty_strings, suite_cases
from tests.hostile.judging import faults_of
from tests.hostile.records import MARK, RecordCase, record_cases

BULK, VALIDATE = "/api/v1/imports/bulk", "/api/v1/imports/validate"
WAIT_SECONDS = 60.0
RECORDS = record_cases()
AS_JSON = [case for case in RECORDS if case.is_json]
AS_LINES = [case for case in RECORDS if case.is_one_line]

Send = Callable[..., Answer]


@pytest.fixture(scope="module")
def caller(house: House) -> Credentials:
    return house.enrol("Hostile")


@pytest.fixture(scope="module")
def send(house: House, caller: Credentials) -> Send:
    """One signed call, whose answer is held to the rules that hold for every answer."""

    def send(
        method: str, target: str, body: bytes = b"", content_type: str | None = None, encoding: str = ""
    ) -> Answer:
        headers = {"Content-Encoding": encoding} if encoding else {}
        sent = {"body": body, "content_type": content_type, "headers": headers}
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            answer = call(house.url, caller.key_id, caller.secret, method, target, **sent)  # type: ignore[arg-type]
            is_busy = answer.status == 429 and answer.json()["code"] == "too_many_running_imports"
            if not is_busy or time.monotonic() > deadline:
                break
        assert faults_of(answer) == []
        return answer

    return send


@pytest.fixture(scope="module", autouse=True)
def nobody_dies(house: House, caller: Credentials) -> Iterator[None]:
    """No process ends, no batch is tried in vain, every job accounts for its records, no log quotes what was sent."""
    before = processes(house)
    yield
    assert processes(house) == before
    with psycopg.connect(embedded.addresses(house.data_dir).database_url) as session:
        attempts = session.execute(
            "SELECT coalesce(\"end\", ''), count(*) FROM imports_batchattempt a "
            "JOIN customers_customer c ON c.id = a.customer_id WHERE c.slug = %s GROUP BY 1",
            [caller.customer],
        ).fetchall()
        unbalanced = session.execute(
            "SELECT j.uuid FROM imports_importjob j JOIN customers_customer c ON c.id = j.customer_id "
            "WHERE c.slug = %s AND j.open_until IS NULL AND (j.finished_at IS NULL "
            "OR total <> created + updated + unchanged + superseded + failed + unprocessed)",
            [caller.customer],
        ).fetchall()
    assert {end for end, _ in attempts} == {"done"}
    assert unbalanced == []
    assert MARK not in house.log.read_text(errors="replace")


def processes(house: House) -> set[int]:
    """The supervisor's children and the web's own; a worker's work-horses come and go."""
    children = psutil.Process(house.process.pid).children()
    web = [child for child in children if "web" in child.cmdline()]
    assert web
    return {process.pid for process in [*children, *(worker for parent in web for worker in parent.children())]}


def ended(send: Send, answer: Answer) -> dict[str, Any]:
    """The status of the accepted job when it has ended."""
    assert answer.status == 202, answer.body
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        status: dict[str, Any] = send("GET", f"/api/v1/imports/{answer.json()['jobId']}").json()
        if status["finishedAt"]:
            return status
        assert time.monotonic() < deadline, status
        time.sleep(0.05)


def test_every_record_fails_with_its_code_and_pointer_or_is_stored(send: Send, subtests: pytest.Subtests) -> None:
    forms: dict[str, tuple[list[RecordCase], bytes, str, str]] = {
        "JSON": (AS_JSON, document(b",".join(case.raw for case in AS_JSON)), JSON, ""),
        "NDJSON": (AS_LINES, lines(*(case.raw for case in AS_LINES)), NDJSON, ""),
        "JSON in gzip": (AS_JSON, gzip.compress(document(b" , ".join(case.raw for case in AS_JSON)), 1), JSON, "gzip"),
        "NDJSON in gzip": (AS_LINES, gzip.compress(lines(*(case.raw for case in AS_LINES)), 1), NDJSON, "gzip"),
    }
    for form, (cases, body, media_type, encoding) in forms.items():
        with subtests.test(form):
            status = ended(send, send("POST", BULK, body, media_type, encoding))
            assert_outcomes(send, status, cases)
            verdict = send("POST", VALIDATE, body, media_type, encoding).json()
            assert (verdict["total"], verdict["failed"]) == (len(cases), status["progress"]["failed"])


def test_every_record_does_so_in_a_part_too(send: Send) -> None:
    opened = send("POST", "/api/v1/imports", b'{"metadata":' + json.dumps(METADATA).encode() + b"}").json()
    target = opened["links"]["status"]
    half = len(AS_LINES) // 2
    for number, cases in ((2, AS_LINES[half:]), (1, AS_LINES[:half])):
        body = b"\n".join(case.raw for case in cases)
        assert send("PUT", f"{target}/parts/{number}", body, NDJSON).status == 201
    assert_outcomes(send, ended(send, send("POST", f"{target}/close", b'{"parts":2}')), AS_LINES)


METADATA = {"source": "crm", "version": "1", "timestamp": "2024-03-15T00:00:00Z"}


def assert_outcomes(send: Send, status: dict[str, Any], cases: list[RecordCase]) -> None:
    progress, outcomes = status["progress"], status["outcomes"]
    assert status["status"] == "completed"
    assert progress["total"] == progress["processed"] == len(cases)
    assert sum(outcomes.values()) + progress["failed"] == len(cases)
    results = f"/api/v1/imports/{status['jobId']}/results"
    failed = [json.loads(line, parse_int=str) for line in send("GET", f"{results}/failed").body.splitlines()]
    assert {cases[int(line["index"])].name: (line["code"], line["pointer"]) for line in failed} == {
        case.name: (case.code, case.pointer) for case in cases if case.code
    }
    assert all(line["message"] for line in failed)
    stored = [json.loads(line)["index"] for line in send("GET", f"{results}/succeeded").body.splitlines()]
    assert [cases[index].name for index in stored] == [case.name for case in cases if not case.code]


def test_what_is_stored_comes_back_as_it_was_sent(send: Send) -> None:
    for case in AS_LINES:
        if not case.code:
            sent = exactly(case.raw)
            wanted = json.dumps({"type": sent["type"], "id": sent["id"]}).encode()
            found = exactly(send("POST", "/api/v1/records/lookup", wanted).body)["record"]
            assert found == {name: value for name, value in sent.items() if value or name != "customFields"}, case.name


def test_every_record_is_compared_and_committed_as_it_was_sent(send: Send) -> None:
    opening = b'{"metadata":' + json.dumps(METADATA).encode() + b',"dryRun":true}'
    target = send("POST", "/api/v1/imports", opening).json()["links"]["status"]
    changed = [case.raw.replace(b'"attributes":{"', b'"attributes":{"changed":[-0,1.10],"', 1) for case in AS_LINES]
    assert send("PUT", f"{target}/parts/1", b"\n".join(changed), NDJSON).status == 201
    status = ended(send, send("POST", f"{target}/close", b"{}"))
    verdict = send("POST", f"{VALIDATE}?changes=true", lines(*changed), NDJSON).json()
    assert verdict["would"] == status["would"]
    answer = send("GET", status["links"]["changes"])
    told = [exactly(line) for line in answer.body.splitlines()]
    assert len(told) == status["would"]["create"] + status["would"]["update"] > 20
    assert len(verdict["changes"]) == len(told)
    for line in told:
        place, sent = exactly(changed[int(line["index"])])["attributes"].get("changed"), line["changes"]
        after = {change["pointer"]: change.get("after") for change in sent}
        whole = after.get("", {}).get("attributes", {}).get("changed")
        assert place in (None, whole, after.get("/attributes/changed")), AS_LINES[int(line["index"])].name
    digest = json.dumps({"digest": status["digest"]}).encode()
    job = ended(send, send("POST", status["links"]["commit"], digest))
    assert job["outcomes"]["created"] + job["outcomes"]["updated"] == len(told)
    assert job["progress"]["failed"] == status["progress"]["failed"]
    assert send("GET", status["links"]["changes"]).body == b""


def exactly(text: bytes) -> Any:
    """JSON with the digits of its numbers. A whole -0 is 0, which is all that storing a number changes."""
    return json.loads(text, parse_float=str, parse_int=lambda digits: "0" if digits == "-0" else digits)


def test_ids_that_look_the_same_are_the_same_after_nfc(send: Send) -> None:
    composed, decomposed = (f'{{"id":"{text}","type":"order","attributes":{{}}}}'.encode() for text in ("é", "e\u0301"))
    status = ended(send, send("POST", BULK, document(composed + b"," + decomposed)))
    assert (status["outcomes"]["created"], status["outcomes"]["superseded"]) == (1, 1)


@pytest.mark.parametrize("target", [BULK, VALIDATE])
def test_every_body_is_refused_with_its_code_or_taken(send: Send, target: str, subtests: pytest.Subtests) -> None:
    for case in body_cases():
        if target == VALIDATE and case.status == 413:
            continue  # the same door, and seconds of unpacking
        with subtests.test(case.name):
            answer = send("POST", with_query(target, case), case.body, case.media_type, case.encoding)
            if case.status:
                assert (answer.status, answer.json()["code"]) == (case.status, case.code)
                if case.pointer is not None:
                    assert answer.json()["errors"][0]["pointer"] == case.pointer
            elif target == BULK:
                assert ended(send, answer)["progress"]["total"] == case.records
            else:
                assert (answer.status, answer.json()["total"]) == (200, case.records)


def with_query(target: str, case: BodyCase) -> str:
    return f"{target}?{case.query}" if case.query else target


def test_every_body_is_answered_as_a_part_and_as_an_opening(send: Send) -> None:
    opened = send("POST", "/api/v1/imports", b'{"metadata":' + json.dumps(METADATA).encode() + b"}").json()
    target = opened["links"]["status"]
    for number, case in enumerate((case for case in body_cases() if len(case.body) < 1_000_000), start=1):
        if case.status == 413:
            continue
        answer = send("PUT", with_query(f"{target}/parts/{number}", case), case.body, case.media_type, case.encoding)
        assert answer.status in (201, 400, 413, 415, 422), case.name
        opening = send("POST", with_query("/api/v1/imports", case), case.body, case.media_type, case.encoding)
        assert opening.status in (201, 400, 415, 422), case.name
    send("POST", f"{target}/cancel")


def test_every_small_body_is_answered(send: Send) -> None:
    status = ended(send, send("POST", BULK, document(b'{"id":7}')))
    failed = f"/api/v1/failed-records/{status['jobId']}-0"
    calls = {
        "/api/v1/records/lookup": ("type", "id"),
        "/api/v1/records/export": ("id", "types", "related"),
        "/api/v1/records/erase": ("id", "types", "related"),
        f"{failed}/edit": ("record", "attempt"),
        f"{failed}/discard": ("reason",),
        "/api/v1/redrives": ("filter", "sample", "perSecond", "preview"),
        f"/api/v1/imports/{status['jobId']}/close": ("parts", "records"),
        f"/api/v1/imports/{status['jobId']}/commit": ("digest",),
        "/api/v1/imports": ("metadata", "expectedRecords", "dryRun"),
        "/api/v1/keys/rotate": ("overlapHours",),
    }
    for target, members in calls.items():
        for body in small_bodies(*members):
            if target.endswith("rotate") and body in (b"", b'{"overlapHours":0}'):
                continue  # these rotate the key, as they should
            send("POST", target, body)


def test_every_query_is_answered(send: Send) -> None:
    for path in ("/api/v1/imports", "/api/v1/failed-records", "/api/v1/limits", "/api/v1/imports/x", BULK):
        for query in QUERIES:
            answer = send("GET", f"{path}?{query}")
            assert answer.status in (200, 400, 404, 405, 422), (path, query[:40])


def test_every_file_of_json_test_suite_is_answered_as_decided(send: Send) -> None:
    suite = suite_cases()
    for case in suite:
        answer = send("POST", VALIDATE, case.text, JSON)
        assert answer.status in ((422,) if case.is_json else (400, 422)), case.name
    for media_type in (NDJSON, JSON):
        cases = [case for case in suite if (case.is_one_line if media_type == NDJSON else not case.breaks_document)]
        raws = [case.record(number) for number, case in enumerate(cases)]
        body = lines(*raws) if media_type == NDJSON else document(b",".join(raws))
        status = ended(send, send("POST", BULK, body, media_type))
        assert status["progress"]["total"] == len(cases)
        failed = send("GET", f"/api/v1/imports/{status['jobId']}/results/failed").body.splitlines()
        codes = {int(line["index"]): line["code"] for line in (json.loads(line, parse_int=str) for line in failed)}
        assert codes == {number: case.code for number, case in enumerate(cases) if case.code}
        for raw in (raw for raw, case in zip(raws, cases, strict=True) if not case.code):
            assert found_again(send, "order", exactly(raw)["id"]) == exactly(raw)


def test_every_naughty_string_comes_back_from_every_place(send: Send) -> None:
    strings = naughty_strings()
    records = [
        {"id": text, "type": "product", "attributes": {text: [text]}, "customFields": {text: text}}
        for text in strings
        if 1 <= len(text) <= 255
    ]
    for text in strings:
        if not 1 <= len(text) <= 255:
            records.append({"id": f"{MARK} of {len(text)}", "type": "product", "attributes": {text: [text]}})
    # Ids that are equal after NFC are one record, and the last one in counts.
    stored = {unicodedata.normalize("NFC", str(record["id"])): record for record in records}
    for media_type, body in (
        (JSON, json.dumps({"metadata": METADATA, "records": records}).encode()),
        (NDJSON, lines(*(json.dumps(record, ensure_ascii=False).encode() for record in records))),
    ):
        status = ended(send, send("POST", BULK, body, media_type))
        assert (status["progress"]["total"], status["progress"]["failed"]) == (len(records), 0)
        assert status["outcomes"]["superseded"] == len(records) - len(stored)
    for identifier, record in stored.items():
        assert found_again(send, "product", identifier) == record

    table = io.StringIO()
    rows = csv.writer(table, quoting=csv.QUOTE_ALL)
    rows.writerows([["id", "note", "custom.note"], *([text, text, text] for text in stored)])
    target = f"{BULK}?{CSV_METADATA}&type=customer"
    status = ended(send, send("POST", target, table.getvalue().encode(), CSV))
    assert (status["progress"]["total"], status["progress"]["failed"]) == (len(stored), 0)
    for text in stored:
        record = {"id": text, "type": "customer", "attributes": {"note": text}, "customFields": {"note": text}}
        assert found_again(send, "customer", text) == record


def found_again(send: Send, record_type: str, identifier: str) -> Any:
    wanted = json.dumps({"type": record_type, "id": identifier}).encode()
    return exactly(send("POST", "/api/v1/records/lookup", wanted).body)["record"]
