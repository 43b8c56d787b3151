"""The command: what it prints and what it ends with."""

import io
import json
import os
import pty
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from longshore.cli import main
from websockets.sync.server import ServerConnection

from tests.clients.loopback import JOB, KEY_ID, SECRET, FakeServer, Reply, Seen, problem

API = "/api/v1/imports"
STATUS = f"{API}/{JOB}"
DOCUMENT = b'{"metadata":{},"records":[]}'
SOURCE = Path(__file__).parents[2] / "clients" / "python" / "src"


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


@pytest.fixture
def document(tmp_path: Path) -> str:
    path = tmp_path / "crm export.json"
    path.write_bytes(DOCUMENT)
    return str(path)


@pytest.fixture
def environment(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    values = {"LONGSHORE_URL": server.url, "LONGSHORE_KEY_ID": KEY_ID, "LONGSHORE_SECRET": SECRET}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **values, "PYTHONPATH": str(SOURCE), "TERM": "xterm"}


Run = Callable[..., SimpleNamespace]


@pytest.fixture
def run(environment: dict[str, str], capfd: pytest.CaptureFixture[str]) -> Run:
    """In this process: exit status, standard output and standard error."""

    def run(*argv: str) -> SimpleNamespace:
        status = main(argv)
        captured = capfd.readouterr()
        shown = captured.out + captured.err
        assert SECRET not in shown
        assert "Traceback" not in shown
        return SimpleNamespace(status=status, out=captured.out, err=captured.err)

    return run


@pytest.fixture
def accepting(server: FakeServer) -> FakeServer:
    server.on("POST", f"{API}/bulk", Reply(202, {"jobId": JOB, "status": "pending"}))
    server.on("GET", STATUS, answer())
    return server


class TestPush:
    def test_says_where_to_look(self, accepting: FakeServer, run: Run, document: str) -> None:
        result = run("push", document)
        assert result.status == 0
        assert f"crm export.json accepted as import {JOB} (28 B)" in result.out
        assert f"longshore status {JOB} --watch" in result.out

    def test_quiet_prints_the_id_alone(self, accepting: FakeServer, run: Run, document: str) -> None:
        result = run("push", document, "--quiet")
        assert (result.status, result.out, result.err) == (0, f"{JOB}\n", "")

    def test_json_prints_one_object(self, accepting: FakeServer, run: Run, document: str) -> None:
        result = run("push", document, "--watch", "--json", "--idempotency-key", "monday")
        printed = json.loads(result.out)
        assert (result.status, result.err) == (0, "")
        assert (printed["status"], printed["idempotencyKey"]) == ("completed", "monday")

    @pytest.mark.parametrize(
        ("status", "failed", "expected"), [("completed", 0, 0), ("completed", 38, 1), ("failed", 0, 5)]
    )
    def test_watch_ends_as_the_import_did(
        self, accepting: FakeServer, run: Run, document: str, status: str, failed: int, expected: int
    ) -> None:
        accepting.on("GET", STATUS, answer(status, failed=failed))
        assert run("push", document, "--watch").status == expected

    def test_watch_sums_it_up(self, accepting: FakeServer, run: Run, document: str) -> None:
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

    def test_watch_prints_plain_lines_into_a_pipe(self, accepting: FakeServer, run: Run, document: str) -> None:
        accepting.on("GET", STATUS, answer("pending", 0), answer("processing", 420, failed=3), answer())
        result = run("push", document, "--watch")
        assert "pending: 0 of 1,000 (0 %), waiting for a worker" in result.out
        assert "processing: 420 of 1,000 (42 %), 500/s, 1 s left, 3 failed" in result.out
        assert "completed: 1,000 of 1,000 (100 %)\n" in result.out
        assert "\x1b" not in result.out

    def test_a_cancelled_import_says_so(self, accepting: FakeServer, run: Run, document: str) -> None:
        outcomes = {"created": 400, "unprocessed": 600}
        accepting.on("GET", STATUS, answer("failed", 400, statusReason="cancelled", outcomes=outcomes))
        result = run("push", document, "--watch")
        assert result.status == 5
        assert "failed: cancelled" in result.out
        assert f"longshore results {JOB} --unprocessed -o unprocessed.ndjson" in result.out

    def test_text_from_elsewhere_cannot_steer_the_terminal(
        self, accepting: FakeServer, run: Run, document: str
    ) -> None:
        error = {"record": "\x1b]0;owned\x07[red]C", "error": "a\r\u202eb\x1b[2J", "index": 1}
        accepting.on("GET", STATUS, answer(failed=1, errors=[error]))
        result = run("push", document, "--watch")
        assert not set("\x1b\x07\r\u202e") & set(result.out)
        assert "[red]C" in result.out

    def test_standard_input_is_read(self, accepting: FakeServer, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        stdin = io.TextIOWrapper(io.BytesIO(DOCUMENT))
        monkeypatch.setattr("sys.stdin", stdin)
        assert run("push", "-", "--format", "json").status == 0
        assert accepting.seen[0].body == DOCUMENT

    def test_options_reach_the_wire(self, accepting: FakeServer, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "rows.csv"
        path.write_bytes(b"id,name\n1,Ann\n")
        options = ("--type", "order", "--source", "CRM", "--timestamp", "2025-01-01T00:00:00Z", "--gzip")
        assert run("push", str(path), *options, "--idempotency-key", "k").status == 0
        (seen,) = accepting.seen
        assert seen.target.endswith("?source=CRM&version=1.0.0&timestamp=2025-01-01T00%3A00%3A00Z&type=order")
        assert (seen.headers["content-encoding"], seen.headers["idempotency-key"]) == ("gzip", "k")

    @pytest.mark.parametrize("in_parts", [False, True])
    def test_a_retry_policy_goes_with_the_push(
        self, accepting: FakeServer, run: Run, tmp_path: Path, in_parts: bool
    ) -> None:
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


class TestTrouble:
    def test_a_refusal_ends_with_3(self, server: FakeServer, run: Run, document: str) -> None:
        errors = [{"pointer": "/records", "code": "empty", "detail": "There is no record."}]
        server.on("POST", f"{API}/bulk", problem(422, "invalid_envelope", "Mend what errors names.", errors=errors))
        result = run("push", document, "--watch")
        assert (result.status, result.out) == (3, "")
        assert result.err.splitlines() == [
            "error: Mend what errors names.",
            "  /records: There is no record.",
            "(invalid_envelope, status 422, request id req_1)",
        ]

    def test_overload_ends_with_4_and_says_how_to_resume(self, server: FakeServer, run: Run, document: str) -> None:
        server.on("POST", f"{API}/bulk", problem(503, "unavailable", "Busy.", headers={"Retry-After": "60"}))
        result = run("push", document, "--watch", "--timeout", "5")
        key = server.seen[0].headers["idempotency-key"]
        assert result.status == 4
        assert "Try again in 60 s." in result.err
        assert f"longshore push '{document}' --watch --timeout 5 --idempotency-key {key}" in result.err

    def test_pauses_are_told(self, server: FakeServer, run: Run, document: str) -> None:
        busy = problem(503, "unavailable", "Busy.", headers={"Retry-After": "0"})
        server.on("POST", f"{API}/bulk", busy, Reply(202, {"jobId": JOB}))
        result = run("push", document)
        assert result.status == 0
        assert "Busy. Trying again in 0." in result.err

    def test_an_unreachable_server_ends_with_4(self, run: Run, document: str, monkeypatch: pytest.MonkeyPatch) -> None:
        result = run("push", document, "--url", "http://127.0.0.1:9", "--timeout", "0.2")
        assert result.status == 4
        assert "http://127.0.0.1:9 cannot be reached: connection refused." in result.err

    def test_a_watch_that_loses_the_server_says_that_the_import_goes_on(
        self, accepting: FakeServer, run: Run, document: str
    ) -> None:
        accepting.on("GET", STATUS, problem(500, "internal_error", "Oh."))
        result = run("push", document, "--watch", "--timeout", "0.2")
        assert result.status == 4
        assert f"The import was accepted and goes on. To look at it:  longshore status {JOB} --watch" in result.err
        assert "--idempotency-key" not in result.err

    def test_json_tells_trouble_as_an_object(self, server: FakeServer, run: Run, document: str) -> None:
        server.on("POST", f"{API}/bulk", problem(401, "signature_invalid", "No.", step="signature"))
        result = run("push", document, "--json")
        error = json.loads(result.out)["error"]
        assert (result.status, result.err) == (3, "")
        assert (error["code"], error["status"]) == ("signature_invalid", 401)

    @pytest.mark.parametrize(
        "argv",
        [
            ["push", "missing.json"],
            ["push", "crm.json", "--url", "nonsense"],
            ["status", "nonsense"],
            ["push", "-", "--format", "json", "--idempotency-key", "ä"],
        ],
    )
    def test_what_cannot_be_sent_ends_with_2(self, server: FakeServer, run: Run, argv: list[str]) -> None:
        assert run(*argv).status == 2
        assert server.seen == []

    @pytest.mark.parametrize(
        "argv",
        [
            [],
            ["push"],
            ["results", JOB],
            ["push", "x", "--json", "-q"],
            ["push", "x", "--timeout", "0"],
            ["push", "x", "--retry-tries", "-1"],
        ],
    )
    def test_wrong_usage_ends_with_2(self, argv: list[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            main(argv)
        assert caught.value.code == 2

    def test_missing_configuration_is_named(self, run: Run, document: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LONGSHORE_SECRET")
        result = run("push", document)
        assert result.status == 2
        assert "LONGSHORE_SECRET is not set." in result.err

    def test_http_beyond_this_machine_is_warned_of(self, run: Run, document: str) -> None:
        result = run("push", document, "--url", "http://longshore.invalid", "--timeout", "0.1")
        assert "clear text" in result.err

    def test_there_is_no_option_for_the_secret(self, document: str) -> None:
        with pytest.raises(SystemExit):
            main(["push", document, "--secret", SECRET])


class TestValidate:
    def test_ends_with_0_where_all_is_good(self, server: FakeServer, run: Run, document: str) -> None:
        would = {"create": 3, "update": 0, "unchanged": 0}
        verdict = {"valid": True, "total": 3, "failed": 0, "errors": [], "errorSummary": [], "would": would}
        server.on("POST", f"{API}/validate", Reply(200, verdict))
        result = run("validate", document)
        assert result.status == 0
        assert "all records are good" in result.out
        assert ["would", "be", "created", "3"] in [line.split() for line in result.out.splitlines()]
        assert "Nothing was stored." in result.out

    def test_ends_with_1_where_some_would_fail(self, server: FakeServer, run: Run, document: str) -> None:
        verdict = {"valid": False, "total": 1_000, "failed": 38, **FAILURES}
        server.on("POST", f"{API}/validate", Reply(200, verdict))
        result = run("validate", document)
        assert result.status == 1
        assert "37  too_many" in result.out

    def test_waits_for_a_large_dry_run(self, server: FakeServer, run: Run, document: str) -> None:
        would = {"create": 900, "update": 0, "unchanged": 62}
        server.on("POST", f"{API}/validate", Reply(202, {"jobId": JOB, "status": "pending"}))
        server.on("GET", STATUS, answer("processing", 10), answer(failed=38, kind="dryRun", would=would))
        result = run("validate", document)
        assert result.status == 1
        assert f"Dry run {JOB} completed" in result.out
        assert ["would", "stay", "as", "they", "are", "62"] in [line.split() for line in result.out.splitlines()]


class TestStatus:
    @pytest.mark.parametrize(
        ("reply", "expected"),
        [
            (answer("pending", 0), 6),
            (answer("processing", 10), 6),
            (answer(), 0),
            (answer(failed=1), 1),
            (answer("failed"), 5),
        ],
    )
    def test_ends_as_the_import_stands(self, server: FakeServer, run: Run, reply: Reply, expected: int) -> None:
        server.on("GET", STATUS, reply)
        assert run("status", JOB).status == expected

    def test_watch_stays_until_the_end(self, server: FakeServer, run: Run) -> None:
        server.on("GET", STATUS, answer("pending", 0), answer(failed=1))
        assert run("status", JOB, "--watch").status == 1

    def test_an_unknown_job_ends_with_3(self, run: Run) -> None:
        assert run("status", JOB).status == 3


class TestResults:
    LINES = b'{"index":6,"record":"C-7"}\n{"index":8,"record":""}\n'

    def serve(self, server: FakeServer, kind: str = "failed", *, cut_after: int | None = None) -> None:
        reply = Reply(200, self.LINES, {"Content-Type": "application/x-ndjson"}, cut_after=cut_after)
        server.on("GET", f"{STATUS}/results/{kind}", reply)

    @pytest.mark.parametrize("kind", ["failed", "succeeded", "unprocessed"])
    def test_go_to_standard_output_as_they_came(self, server: FakeServer, run: Run, kind: str) -> None:
        self.serve(server, kind)
        result = run("results", JOB, f"--{kind}")
        assert (result.status, result.out) == (0, self.LINES.decode())

    def test_go_to_a_file_that_only_the_owner_reads(self, server: FakeServer, run: Run, tmp_path: Path) -> None:
        self.serve(server)
        path = tmp_path / "failed.ndjson"
        path.write_text("old")
        path.chmod(0o644)
        assert run("results", JOB, "--failed", "-o", str(path)).status == 0
        assert path.read_bytes() == self.LINES
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert list(tmp_path.iterdir()) == [path]

    def test_that_break_off_leave_no_file(self, server: FakeServer, run: Run, tmp_path: Path) -> None:
        self.serve(server, cut_after=30)
        assert run("results", JOB, "--failed", "-o", str(tmp_path / "failed.ndjson")).status == 4
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_is_not_there_is_told(self, server: FakeServer, run: Run, tmp_path: Path) -> None:
        self.serve(server)
        result = run("results", JOB, "--failed", "-o", str(tmp_path / "no" / "failed.ndjson"))
        assert result.status == 2
        assert "cannot be written" in result.err

    def test_a_reader_that_goes_away_is_no_trouble(self, server: FakeServer, environment: dict[str, str]) -> None:
        lines = Reply(200, self.LINES * 100_000, {"Content-Type": "application/x-ndjson"})
        server.on("GET", f"{STATUS}/results/failed", lines)
        command = [sys.executable, "-m", "longshore", "results", JOB, "--failed"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout and process.stderr
            process.stdout.read(10)
            process.stdout.close()
            assert (process.wait(10), process.stderr.read()) == (141, b"")


def test_cancel_says_what_stays(server: FakeServer, run: Run) -> None:
    server.on("POST", f"{STATUS}/cancel", Reply(202, {"status": "processing"}))
    result = run("cancel", JOB)
    assert result.status == 0
    assert "what is stored stays" in result.out


class TestVerify:
    def test_a_good_signature_ends_with_0(self, server: FakeServer, run: Run) -> None:
        server.on("POST", "/api/v1/auth/verify", Reply(200, {"valid": True, "step": None, "skewSeconds": -20}))
        result = run("verify")
        assert result.status == 0
        assert "The signature is valid." in result.out
        assert "clock is 20 s ahead of the server's" in result.out

    def test_the_lines_that_differ_are_shown(self, server: FakeServer, run: Run) -> None:
        def rewritten(seen: Seen) -> Reply:
            token = seen.headers["authorization"].split(".")
            lines = ["HMAC-SHA256-V1", *token[1:4], "POST", "inner:8000", seen.target, "", token[4]]
            text = "\n".join(lines)
            return Reply(200, {"valid": False, "step": "signature", "skewSeconds": 0, "stringToSign": text})

        server.on("POST", "/api/v1/auth/verify", rewritten)
        result = run("verify")
        assert result.status == 3
        assert f"host: sent '127.0.0.1:{server.server_port}', seen 'inner:8000'" in result.out
        assert result.out.count("sent '") == 1


class TestOnATerminal:
    """In a process of its own, behind a pseudo-terminal."""

    def start(self, environment: dict[str, str], *argv: str) -> tuple[subprocess.Popen[bytes], int]:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "longshore", *argv],
            env={**environment, "COLUMNS": "100", "LINES": "40"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        return process, ours

    def read_until(self, ours: int, text: str, seconds: float = 10) -> str:
        seen = b""
        until = time.monotonic() + seconds
        while text.encode() not in seen and time.monotonic() < until:
            try:
                seen += os.read(ours, 65536)
            except OSError:
                break
        return seen.decode(errors="replace")

    def script(self, socket: ServerConnection, target: str) -> None:
        for seq, processed in enumerate((0, 420, 1_000)):
            status = "completed" if processed == 1_000 else "processing"
            data = answer(status, processed, failed=3 if processed else 0).body
            socket.send(json.dumps({"seq": seq, "type": "progress", "jobId": JOB, "data": data}))
            time.sleep(0.4)  # the bar draws eight times a second

    def test_a_bar_shows_records_rate_time_and_failures(
        self, accepting: FakeServer, environment: dict[str, str], document: str
    ) -> None:
        accepting.on("POST", f"{STATUS}/socket-ticket", Reply(201, {"ticket": "t", "url": f"/ws/imports/{JOB}"}))
        accepting.socket_scripts.append(self.script)
        accepting.on("GET", STATUS, answer(failed=3))
        process, ours = self.start(environment, "push", document, "--watch")
        seen = self.read_until(ours, "failed.ndjson")
        assert process.wait(10) == 1
        os.close(ours)
        assert "━" in seen
        assert " 42 %  420 of 1,000" in seen
        assert "500/s" in seen
        assert "1 s left" in seen
        assert "3 failed" in seen
        assert "100 %  1,000 of 1,000" in seen

    def test_ctrl_c_says_that_the_import_goes_on(
        self, accepting: FakeServer, environment: dict[str, str], document: str
    ) -> None:
        accepting.on("GET", STATUS, answer("processing", 420))
        process, ours = self.start(environment, "push", document, "--watch")
        self.read_until(ours, "420 of 1,000")
        process.send_signal(signal.SIGINT)
        seen = self.read_until(ours, f"longshore status {JOB} --watch")
        assert process.wait(10) == 130
        os.close(ours)
        assert "The import goes on without us." in seen
        assert "Traceback" not in seen

    def test_standard_input_that_is_a_terminal_is_refused(self, environment: dict[str, str]) -> None:
        process, ours = self.start(environment, "push", "-", "--format", "json")
        seen = self.read_until(ours, "Pipe a file into it.")
        assert process.wait(10) == 2
        os.close(ours)
        assert "Standard input is a terminal." in seen
