"""What `longshore commit` sends, prints and ends with."""

import json

from tests.clients.cli.answers import API, STATUS, Run, answer
from tests.clients.loopback import JOB, FakeServer, Reply, problem

DIGEST = "D" * 43


def test_names_what_the_dry_run_checked(server: FakeServer, run: Run) -> None:
    other = "3f2b8c1e-0000-4000-8000-000000000002"
    server.on("GET", STATUS, answer(kind="dryRun", digest=DIGEST))
    server.on("POST", f"{STATUS}/commit", Reply(202, {"jobId": other, "status": "pending"}))
    result = run("commit", JOB)
    assert (result.status, json.loads(server.seen[-1].body)) == (0, {"digest": DIGEST})
    assert f"longshore status {other} --watch" in result.out
    server.on("GET", f"{API}/{other}", answer(failed=1))
    assert run("commit", JOB, "--watch", "--digest", "E" * 43).status == 1
    committed = [seen for seen in server.seen if seen.path.endswith("/commit")]
    assert json.loads(committed[-1].body) == {"digest": "E" * 43}


def test_another_content_is_refused(server: FakeServer, run: Run) -> None:
    server.on("POST", f"{STATUS}/commit", problem(422, "digest_differs", "Another content."))
    result = run("commit", JOB, "--digest", DIGEST)
    assert (result.status, len(server.seen)) == (3, 1)


def test_one_that_is_under_way_is_asked_again(server: FakeServer, run: Run) -> None:
    busy = problem(409, "idempotency_in_flight", "Being committed.", headers={"Retry-After": "0"})
    server.on("POST", f"{STATUS}/commit", busy, Reply(202, {"jobId": JOB, "status": "pending"}))
    assert run("commit", JOB, "--digest", DIGEST).status == 0
    server.on("POST", f"{STATUS}/commit", problem(409, "wrong_state", "Not finished."))
    before = len(server.seen)
    assert run("commit", JOB, "--digest", DIGEST).status == 3
    assert len(server.seen) == before + 1
