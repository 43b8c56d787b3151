"""What `longshore validate` prints and ends with."""

from tests.clients.cli.answers import API, FAILURES, STATUS, Run, answer
from tests.clients.loopback import JOB, FakeServer, Reply


def test_ends_with_0_where_all_is_good(server: FakeServer, run: Run, document: str) -> None:
    would = {"create": 3, "update": 0, "unchanged": 0}
    verdict = {"valid": True, "total": 3, "failed": 0, "errors": [], "errorSummary": [], "would": would}
    server.on("POST", f"{API}/validate", Reply(200, verdict))
    result = run("validate", document)
    assert result.status == 0
    assert "all records are good" in result.out
    assert ["would", "be", "created", "3"] in [line.split() for line in result.out.splitlines()]
    assert "Nothing was stored." in result.out


def test_ends_with_1_where_some_would_fail(server: FakeServer, run: Run, document: str) -> None:
    verdict = {"valid": False, "total": 1_000, "failed": 38, **FAILURES}
    server.on("POST", f"{API}/validate", Reply(200, verdict))
    result = run("validate", document)
    assert result.status == 1
    assert "37  too_many" in result.out


def test_waits_for_a_large_dry_run(server: FakeServer, run: Run, document: str) -> None:
    would = {"create": 900, "update": 0, "unchanged": 62}
    server.on("POST", f"{API}/validate", Reply(202, {"jobId": JOB, "status": "pending"}))
    server.on("GET", STATUS, answer("processing", 10), answer(failed=38, kind="dryRun", would=would))
    result = run("validate", document)
    assert result.status == 1
    assert f"Dry run {JOB} completed" in result.out
    assert ["would", "stay", "as", "they", "are", "62"] in [line.split() for line in result.out.splitlines()]
