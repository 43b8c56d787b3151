"""Where `longshore results` writes."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.cli.answers import STATUS, Run
from tests.clients.loopback import JOB, FakeServer, Reply

LINES = b'{"index":6,"record":"C-7"}\n{"index":8,"record":""}\n'


def serve(server: FakeServer, kind: str = "failed", *, cut_after: int | None = None) -> None:
    reply = Reply(200, LINES, {"Content-Type": "application/x-ndjson"}, cut_after=cut_after)
    server.on("GET", f"{STATUS}/results/{kind}", reply)


@pytest.mark.parametrize("kind", ["failed", "succeeded", "unprocessed"])
def test_go_to_standard_output_as_they_came(server: FakeServer, run: Run, kind: str) -> None:
    serve(server, kind)
    result = run("results", JOB, f"--{kind}")
    assert (result.status, result.out) == (0, LINES.decode())


def test_go_to_a_file_that_only_the_owner_reads(server: FakeServer, run: Run, tmp_path: Path) -> None:
    serve(server)
    path = tmp_path / "failed.ndjson"
    path.write_text("old")
    path.chmod(0o644)
    assert run("results", JOB, "--failed", "-o", str(path)).status == 0
    assert path.read_bytes() == LINES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_that_break_off_leave_no_file(server: FakeServer, run: Run, tmp_path: Path) -> None:
    serve(server, cut_after=30)
    assert run("results", JOB, "--failed", "-o", str(tmp_path / "failed.ndjson")).status == 4
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(server: FakeServer, run: Run, tmp_path: Path) -> None:
    serve(server)
    result = run("results", JOB, "--failed", "-o", str(tmp_path / "no" / "failed.ndjson"))
    assert result.status == 2
    assert "cannot be written" in result.err


def test_a_reader_that_goes_away_is_no_trouble(server: FakeServer, environment: dict[str, str]) -> None:
    lines = Reply(200, LINES * 100_000, {"Content-Type": "application/x-ndjson"})
    server.on("GET", f"{STATUS}/results/failed", lines)
    command = [sys.executable, "-m", "longshore", "results", JOB, "--failed"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.read(10)
        process.stdout.close()
        assert (process.wait(10), process.stderr.read()) == (141, b"")
