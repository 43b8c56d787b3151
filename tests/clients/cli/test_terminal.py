"""The command in a process of its own, behind a pseudo-terminal."""

import json
import os
import pty
import signal
import subprocess
import sys
import time

from websockets.sync.server import ServerConnection

from tests.clients.cli.answers import STATUS, answer
from tests.clients.loopback import JOB, FakeServer, Reply


def start(environment: dict[str, str], *argv: str) -> tuple[subprocess.Popen[bytes], int]:
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


def read_until(ours: int, text: str, seconds: float = 10) -> str:
    seen = b""
    until = time.monotonic() + seconds
    while text.encode() not in seen and time.monotonic() < until:
        try:
            seen += os.read(ours, 65536)
        except OSError:
            break
    return seen.decode(errors="replace")


def script(socket: ServerConnection, target: str) -> None:
    for seq, processed in enumerate((0, 420, 1_000)):
        status = "completed" if processed == 1_000 else "processing"
        data = answer(status, processed, failed=3 if processed else 0).body
        socket.send(json.dumps({"seq": seq, "type": "progress", "jobId": JOB, "data": data}))
        time.sleep(0.4)  # the bar draws eight times a second


def test_a_bar_shows_records_rate_time_and_failures(
    accepting: FakeServer, environment: dict[str, str], document: str
) -> None:
    accepting.on("POST", f"{STATUS}/socket-ticket", Reply(201, {"ticket": "t", "url": f"/ws/imports/{JOB}"}))
    accepting.socket_scripts.append(script)
    accepting.on("GET", STATUS, answer(failed=3))
    process, ours = start(environment, "push", document, "--watch")
    seen = read_until(ours, "failed.ndjson")
    assert process.wait(60) == 1
    os.close(ours)
    assert "━" in seen
    assert " 42 %  420 of 1,000" in seen
    assert "500/s" in seen
    assert "1 s left" in seen
    assert "3 failed" in seen
    assert "100 %  1,000 of 1,000" in seen


def test_ctrl_c_says_that_the_import_goes_on(accepting: FakeServer, environment: dict[str, str], document: str) -> None:
    accepting.on("GET", STATUS, answer("processing", 420))
    process, ours = start(environment, "push", document, "--watch")
    read_until(ours, "420 of 1,000")
    process.send_signal(signal.SIGINT)
    seen = read_until(ours, f"longshore status {JOB} --watch")
    assert process.wait(60) == 130
    os.close(ours)
    assert "The import goes on without us." in seen
    assert "Traceback" not in seen


def test_standard_input_that_is_a_terminal_is_refused(environment: dict[str, str]) -> None:
    process, ours = start(environment, "push", "-", "--format", "json")
    seen = read_until(ours, "Pipe a file into it.")
    assert process.wait(60) == 2
    os.close(ours)
    assert "Standard input is a terminal." in seen
