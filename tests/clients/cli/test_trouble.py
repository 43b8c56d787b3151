"""What goes wrong is told, with an exit status of its own."""

import json

import pytest
from longshore.cli import main

from tests.clients.cli.answers import API, STATUS, Run
from tests.clients.loopback import JOB, SECRET, FakeServer, Reply, problem


def test_a_refusal_ends_with_3(server: FakeServer, run: Run, document: str) -> None:
    errors = [{"pointer": "/records", "code": "empty", "detail": "There is no record."}]
    server.on("POST", f"{API}/bulk", problem(422, "invalid_envelope", "Mend what errors names.", errors=errors))
    result = run("push", document, "--watch")
    assert (result.status, result.out) == (3, "")
    assert result.err.splitlines() == [
        "error: Mend what errors names.",
        "  /records: There is no record.",
        "(invalid_envelope, status 422, request id req_1)",
    ]


def test_overload_ends_with_4_and_says_how_to_resume(server: FakeServer, run: Run, document: str) -> None:
    server.on("POST", f"{API}/bulk", problem(503, "unavailable", "Busy.", headers={"Retry-After": "60"}))
    result = run("push", document, "--watch", "--timeout", "5")
    key = server.seen[0].headers["idempotency-key"]
    assert result.status == 4
    assert "Try again in 60 s." in result.err
    assert f"longshore push '{document}' --watch --timeout 5 --idempotency-key {key}" in result.err


def test_pauses_are_told(server: FakeServer, run: Run, document: str) -> None:
    busy = problem(503, "unavailable", "Busy.", headers={"Retry-After": "0"})
    server.on("POST", f"{API}/bulk", busy, Reply(202, {"jobId": JOB}))
    result = run("push", document)
    assert result.status == 0
    assert "Busy. Trying again in 0." in result.err


def test_an_unreachable_server_ends_with_4(run: Run, document: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("push", document, "--url", "http://127.0.0.1:9", "--timeout", "0.2")
    assert result.status == 4
    assert "http://127.0.0.1:9 cannot be reached: connection refused." in result.err


def test_a_watch_that_loses_the_server_says_that_the_import_goes_on(
    accepting: FakeServer, run: Run, document: str
) -> None:
    accepting.on("GET", STATUS, problem(500, "internal_error", "Oh."))
    result = run("push", document, "--watch", "--timeout", "0.2")
    assert result.status == 4
    assert f"The import was accepted and goes on. To look at it:  longshore status {JOB} --watch" in result.err
    assert "--idempotency-key" not in result.err


def test_json_tells_trouble_as_an_object(server: FakeServer, run: Run, document: str) -> None:
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
def test_what_cannot_be_sent_ends_with_2(server: FakeServer, run: Run, argv: list[str]) -> None:
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
def test_wrong_usage_ends_with_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2


def test_missing_configuration_is_named(run: Run, document: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LONGSHORE_SECRET")
    result = run("push", document)
    assert result.status == 2
    assert "LONGSHORE_SECRET is not set." in result.err


def test_http_beyond_this_machine_is_warned_of(run: Run, document: str) -> None:
    result = run("push", document, "--url", "http://longshore.invalid", "--timeout", "0.1")
    assert "clear text" in result.err


def test_there_is_no_option_for_the_secret(document: str) -> None:
    with pytest.raises(SystemExit):
        main(["push", document, "--secret", SECRET])
