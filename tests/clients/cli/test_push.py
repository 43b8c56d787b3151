"""What `longshore push` prints and ends with."""

import io
import json
from pathlib import Path

import pytest

from tests.clients.cli.answers import API, DOCUMENT, FAILURES, STATUS, Run, answer
from tests.clients.loopback import JOB, FakeServer, Reply


def test_says_where_to_look(accepting: FakeServer, run: Run, document: str) -> None:
    result = run("push", document)
    assert result.status == 0
    assert f"crm export.json accepted as import {JOB} (28 B)" in result.out
    assert f"longshore status {JOB} --watch" in result.out


def test_quiet_prints_the_id_alone(accepting: FakeServer, run: Run, document: str) -> None:
    result = run("push", document, "--quiet")
    assert (result.status, result.out, result.err) == (0, f"{JOB}\n", "")


def test_json_prints_one_object(accepting: FakeServer, run: Run, document: str) -> None:
    result = run("push", document, "--watch", "--json", "--idempotency-key", "monday")
    printed = json.loads(result.out)
    assert (result.status, result.err) == (0, "")
    assert (printed["status"], printed["idempotencyKey"]) == ("completed", "monday")


@pytest.mark.parametrize(
    ("status", "failed", "expected"), [("completed", 0, 0), ("completed", 38, 1), ("failed", 0, 5)]
)
def test_watch_ends_as_the_import_did(
    accepting: FakeServer, run: Run, document: str, status: str, failed: int, expected: int
) -> None:
    accepting.on("GET", STATUS, answer(status, failed=failed))
    assert run("push", document, "--watch").status == expected


def test_watch_sums_it_up(accepting: FakeServer, run: Run, document: str) -> None:
    accepting.on("GET", STATUS, answer(failed=38, **FAILURES))
    result = run("push", document, "--watch")
    lines = [line.split() for line in result.out.splitlines()]
    assert ["created", "962"] in lines
    assert ["failed", "38"] in lines
    assert ["total", "1,000"] in lines
    assert "completed in 2.5 s, 500 records a second" in result.out
    assert result.out.index("37  too_many") < result.out.index(" 1  missing")
    assert "  C-7            index 6  customFields has 51 members." in result.out
    assert "  without an id  index 8  id is missing." in result.out
    assert result.out.rstrip().endswith(f"longshore results {JOB} --failed -o failed.ndjson")


def test_watch_prints_plain_lines_into_a_pipe(accepting: FakeServer, run: Run, document: str) -> None:
    accepting.on("GET", STATUS, answer("pending", 0), answer("processing", 420, failed=3), answer())
    result = run("push", document, "--watch")
    assert "pending: 0 of 1,000 (0 %), waiting for a worker" in result.out
    assert "processing: 420 of 1,000 (42 %), 500/s, 1 s left, 3 failed" in result.out
    assert "completed: 1,000 of 1,000 (100 %)\n" in result.out
    assert "\x1b" not in result.out


def test_a_cancelled_import_says_so(accepting: FakeServer, run: Run, document: str) -> None:
    outcomes = {"created": 400, "unprocessed": 600}
    accepting.on("GET", STATUS, answer("failed", 400, statusReason="cancelled", outcomes=outcomes))
    result = run("push", document, "--watch")
    assert result.status == 5
    assert "failed: cancelled" in result.out
    assert f"longshore results {JOB} --unprocessed -o unprocessed.ndjson" in result.out


def test_text_from_elsewhere_cannot_steer_the_terminal(accepting: FakeServer, run: Run, document: str) -> None:
    error = {"record": "\x1b]0;owned\x07[red]C", "error": "a\r\u202eb\x1b[2J", "index": 1}
    accepting.on("GET", STATUS, answer(failed=1, errors=[error]))
    result = run("push", document, "--watch")
    assert not set("\x1b\x07\r\u202e") & set(result.out)
    assert "[red]C" in result.out


def test_standard_input_is_read(accepting: FakeServer, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(DOCUMENT))
    monkeypatch.setattr("sys.stdin", stdin)
    assert run("push", "-", "--format", "json").status == 0
    assert accepting.seen[0].body == DOCUMENT


def test_options_reach_the_wire(accepting: FakeServer, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"id,name\n1,Ann\n")
    options = ("--type", "order", "--source", "CRM", "--timestamp", "2025-01-01T00:00:00Z", "--gzip")
    assert run("push", str(path), *options, "--idempotency-key", "k").status == 0
    (seen,) = accepting.seen
    assert seen.target.endswith("?source=CRM&version=1.0.0&timestamp=2025-01-01T00%3A00%3A00Z&type=order")
    assert (seen.headers["content-encoding"], seen.headers["idempotency-key"]) == ("gzip", "k")


@pytest.mark.parametrize("in_parts", [False, True])
def test_a_retry_policy_goes_with_the_push(accepting: FakeServer, run: Run, tmp_path: Path, in_parts: bool) -> None:
    accepting.on("POST", API, Reply(201, {"jobId": JOB, "status": "pending"}))
    accepting.on("GET", f"{STATUS}/parts", Reply(200, {"openUntil": "2026-01-01T00:00:00Z", "parts": []}))
    accepting.on("PUT", f"{STATUS}/parts/1", Reply(201, {}))
    accepting.on("POST", f"{STATUS}/close", Reply(202, {"jobId": JOB, "status": "pending"}))
    path = tmp_path / "rows.ndjson"
    path.write_bytes(b'{"metadata":{"source":"a"}}\n{"id":"1"}\n')
    options = ["--split-over", "1"] if in_parts else []
    assert run("push", str(path), "--retry-tries", "0", "--retry-base-seconds", "9", *options).status == 0
    asked = [seen.target for seen in accepting.seen if "?" in seen.target]
    assert asked == [f"{API if in_parts else f'{API}/bulk'}?retryTries=0&retryBaseSeconds=9"]
