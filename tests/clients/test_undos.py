"""Undos through the client and the command."""

import json

import pytest
from longshore import Client
from longshore.cli import main
from longshore.undos import follow_undo

from tests.clients.loopback import JOB, KEY_ID, SECRET, FakeServer, Reply, problem

UNDO = f"/api/v1/imports/{JOB}/undo"
PLAN = {"remove": 2, "restore": 3, "keep": 1, "gone": 0, "discard": 4, "keptBecause": {"changed": 1}}
KEPT = {"index": 7, "record": "A-7", "type": "order", "reason": "changed", "jobId": JOB}


def undo(state: str, done: int = 0) -> Reply:
    counts = {"total": 6, "done": done, "removed": done, "restored": 0, "kept": 1, "gone": 1, "discarded": 0}
    reason = "internal_error" if state == "failed" else None
    body = {"jobId": JOB, "state": state, "stateReason": reason, "counts": counts, "keptBecause": {"confirmed": 1}}
    return Reply(202 if state == "running" and not done else 200, body)


def run(server: FakeServer, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setenv("LONGSHORE_URL", server.url)
    monkeypatch.setenv("LONGSHORE_KEY_ID", KEY_ID)
    monkeypatch.setenv("LONGSHORE_SECRET", SECRET)
    return int(main(list(arguments)))


def _no_pause(_: float) -> None:
    pass


def test_a_plan_is_asked_for_as_a_preview(server: FakeServer, client: Client) -> None:
    server.on("POST", UNDO, Reply(200, PLAN))
    assert client.plan_undo(JOB) == PLAN
    assert server.seen[0].is_signed
    assert json.loads(server.seen[0].body) == {"preview": True}


def test_an_undo_is_sent_again_after_a_503_since_twice_is_once(server: FakeServer, client: Client) -> None:
    server.on("POST", UNDO, problem(503, "unavailable", "Later.", headers={"Retry-After": "0"}), undo("running"))
    assert client.undo(JOB)["state"] == "running"
    assert [seen.body for seen in server.seen] == [b"", b""]


def test_an_undo_is_watched_until_it_no_longer_runs(server: FakeServer, client: Client) -> None:
    server.on("GET", UNDO, undo("running", 3), undo("done", 6))
    ended = follow_undo(client, undo("running").body, sleep=_no_pause)
    assert (ended["state"], ended["counts"]["done"], server.count("GET", UNDO)) == ("done", 6, 2)


def test_what_is_kept_comes_line_by_line(server: FakeServer, client: Client) -> None:
    server.on(
        "GET", f"{UNDO}/kept", Reply(200, json.dumps(KEPT).encode() + b"\n", {"Content-Type": "application/x-ndjson"})
    )
    assert list(client.kept_by_undo(JOB)) == [KEPT]


def test_the_command_previews(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.on("POST", UNDO, Reply(200, PLAN))
    assert run(server, monkeypatch, "undo", JOB, "--preview") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for text in ("would be removed 2", "would be restored 3", "changed by a later import 1", "Nothing was changed."):
        assert text in shown


@pytest.mark.parametrize(("state", "code"), [("done", 0), ("failed", 5)])
def test_the_command_watches_to_the_end(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: str, code: int
) -> None:
    server.on("POST", UNDO, undo("running"))
    server.on("GET", UNDO, undo(state, 6))
    assert run(server, monkeypatch, "undo", JOB, "--watch") == code
    shown = " ".join(capsys.readouterr().out.split())
    assert ("is done" if state == "done" else "failed: internal_error") in shown
    assert "brought again by a later import 1" in shown


def test_the_command_gives_a_program_one_object(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.on("POST", UNDO, undo("running"))
    assert run(server, monkeypatch, "undo", JOB, "--json") == 0
    assert json.loads(capsys.readouterr().out)["counts"]["total"] == 6
