"""The command, run in this process against a loopback server."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from longshore.cli import main

from tests.clients.cli.answers import API, DOCUMENT, STATUS, Run, answer
from tests.clients.loopback import JOB, KEY_ID, SECRET, FakeServer, Reply

SOURCE = Path(__file__).parents[3] / "clients" / "python" / "src"


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
