"""What would change, in a verdict and of a dry run."""

from tests.clients.cli.answers import API, STATUS, Run, answer
from tests.clients.loopback import JOB, FakeServer, Reply, Seen

CHANGED = [
    b'{"index":0,"record":"C-1","type":"customer","outcome":"updated","changes":'
    b'[{"pointer":"/attributes/balance","before":1.50,"after":1.5},{"pointer":"/attributes/x","before":null}]}',
    b'{"index":3,"record":"C-2","type":"customer","outcome":"created","changes":[{"pointer":"","after":{"id":"C-2"}}]}',
]


def verdict_with_changes(seen: Seen) -> Reply:
    asked = seen.target.endswith("?changes=true")
    changes = b',"changes":[' + b",".join(CHANGED) + b'],"changesTruncated":false' if asked else b""
    return Reply(200, b'{"valid":true,"total":4,"failed":0,"errors":[]' + changes + b"}")


def test_a_verdict_shows_them_where_asked(server: FakeServer, run: Run, document: str) -> None:
    server.on("POST", f"{API}/validate", verdict_with_changes)
    result = run("validate", document, "--changes")
    assert result.status == 0
    lines = [line.split() for line in result.out.splitlines()]
    assert ["C-1", "/attributes/balance", "1.50", "→", "1.5"] in lines
    assert ["/attributes/x", "null", "→", "nothing"] in lines
    assert ["C-2", "new"] in lines
    assert "C-1" not in run("validate", document).out


def test_json_keeps_their_digits(server: FakeServer, run: Run, document: str) -> None:
    server.on("POST", f"{API}/validate", verdict_with_changes)
    assert '"before": 1.50, "after": 1.5}' in run("validate", document, "--changes", "--json").out


def test_a_dry_run_shows_them_when_it_is_done(server: FakeServer, run: Run, document: str) -> None:
    server.on("POST", f"{API}/validate", Reply(202, {"jobId": JOB, "status": "pending"}))
    server.on("GET", STATUS, answer(kind="dryRun", would={"create": 1_000, "update": 0, "unchanged": 0}))
    server.on("GET", f"{STATUS}/results/changes", Reply(200, b"\n".join(CHANGED) + b"\n"))
    result = run("validate", document, "--changes")
    assert ["C-1", "/attributes/balance", "1.50", "→", "1.5"] in [line.split() for line in result.out.splitlines()]
    assert f"longshore results {JOB} --changes -o changes.ndjson" in result.out
    assert f"longshore commit {JOB} --watch" in result.out


def test_a_dry_run_need_not_be_waited_for(server: FakeServer, run: Run, document: str) -> None:
    server.on("POST", f"{API}/validate", Reply(202, {"jobId": JOB, "status": "pending"}))
    assert run("validate", document, "--no-watch", "--quiet").out == f"{JOB}\n"


def test_they_are_downloaded_as_they_came(server: FakeServer, run: Run) -> None:
    server.on("GET", f"{STATUS}/results/changes", Reply(200, b"\n".join(CHANGED) + b"\n"))
    assert run("results", JOB, "--changes").out.encode() == b"\n".join(CHANGED) + b"\n"
