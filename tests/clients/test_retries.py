"""Retries and failed records through the client and the command."""

import json
from pathlib import Path
from typing import Any

import pytest
from longshore import Client
from longshore.cli import main
from longshore.retries import follow_redrive

from tests.clients.loopback import JOB, KEY_ID, SECRET, FakeServer, Reply, problem

API = "/api/v1"
REDRIVE = "3f2b8c1e-0000-4000-8000-000000000009"
RETRY = f"{API}/imports/{JOB}/retry"
LOOK = f"{API}/redrives/{REDRIVE}"


def redrive(state: str, done: int = 0, failed: int = 0) -> Reply:
    counts = {"total": 3, "done": done, "succeeded": done - failed, "failedAgain": failed, "left": 3 - done}
    return Reply(202 if state == "running" and not done else 200,
                 {"redriveId": REDRIVE, "state": state, "counts": counts})  # fmt: skip


def status(failed: int) -> Reply:
    return Reply(200, {
        "jobId": JOB, "kind": "import", "status": "completed", "errors": [], "errorSummary": [],
        "progress": {"total": 9, "processed": 9, "failed": failed},
        "outcomes": {"created": 9 - failed, "updated": 0, "unchanged": 0, "superseded": 0, "unprocessed": 0},
    })  # fmt: skip


def run(server: FakeServer, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setenv("LONGSHORE_URL", server.url)
    monkeypatch.setenv("LONGSHORE_KEY_ID", KEY_ID)
    monkeypatch.setenv("LONGSHORE_SECRET", SECRET)
    return int(main(list(arguments)))


def test_retry_gives_the_redrive_and_is_signed(server: FakeServer, client: Client) -> None:
    server.on("POST", RETRY, redrive("running"))
    assert client.retry(JOB)["counts"]["total"] == 3
    assert server.seen[0].is_signed
    assert server.seen[0].body == b""


def test_retry_is_sent_again_after_a_503_since_twice_is_once(server: FakeServer, client: Client) -> None:
    server.on("POST", RETRY, problem(503, "unavailable", "Later.", headers={"Retry-After": "0"}), redrive("running"))
    assert client.retry(JOB)["redriveId"] == REDRIVE
    assert server.count("POST", RETRY) == 2


def test_a_redrive_is_watched_until_it_no_longer_runs(server: FakeServer, client: Client) -> None:
    server.on("GET", LOOK, redrive("running", 1), redrive("done", 3))
    ended = follow_redrive(client, redrive("running").body, sleep=_no_pause)
    assert (ended["state"], ended["counts"]["done"], server.count("GET", LOOK)) == ("done", 3, 2)


def test_failed_records_come_over_all_pages(server: FakeServer, client: Client) -> None:
    pages = [
        Reply(200, {"failedRecords": [{"index": 2}, {"index": 1}], "next": "abc"}),
        Reply(200, {"failedRecords": [{"index": 0}], "next": None}),
    ]
    server.on("GET", f"{API}/failed-records", *pages)
    assert [found["index"] for found in client.failed_records(job=JOB, code="unknown_type")] == [2, 1, 0]
    query = f"job={JOB}&code=unknown_type&state=open"
    assert [seen.target for seen in server.seen] == [
        f"{API}/failed-records?{query}",
        f"{API}/failed-records?{query}&after=abc",
    ]


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (1, 1)])
def test_the_command_watches_and_ends_as_the_import_stands(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failed: int, code: int
) -> None:
    server.on("POST", RETRY, redrive("running"))
    server.on("GET", LOOK, redrive("done", 3, failed))
    server.on("GET", f"{API}/imports/{JOB}", status(failed))
    assert run(server, monkeypatch, "retry", JOB, "--watch") == code
    printed = capsys.readouterr().out
    assert "3 failed records are tried again." in printed
    assert f"{3 - failed} stored, {failed} failed again." in printed


def test_the_command_without_watch_ends_at_once(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    server.on("POST", RETRY, redrive("running"))
    assert run(server, monkeypatch, "retry", JOB, "--json") == 0
    answer: Any = json.loads(capsys.readouterr().out)
    assert answer["redriveId"] == REDRIVE
    assert len(server.seen) == 1


def _no_pause(seconds: float) -> None:
    """Tests do not wait."""
