"""What `longshore status` and `longshore cancel` print and end with."""

import pytest

from tests.clients.cli.answers import STATUS, Run, answer
from tests.clients.loopback import JOB, FakeServer, Reply


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
def test_ends_as_the_import_stands(server: FakeServer, run: Run, reply: Reply, expected: int) -> None:
    server.on("GET", STATUS, reply)
    assert run("status", JOB).status == expected


def test_watch_stays_until_the_end(server: FakeServer, run: Run) -> None:
    server.on("GET", STATUS, answer("pending", 0), answer(failed=1))
    assert run("status", JOB, "--watch").status == 1


def test_an_unknown_job_ends_with_3(run: Run) -> None:
    assert run("status", JOB).status == 3


def test_cancel_says_what_stays(server: FakeServer, run: Run) -> None:
    server.on("POST", f"{STATUS}/cancel", Reply(202, {"status": "processing"}))
    result = run("cancel", JOB)
    assert result.status == 0
    assert "what is stored stays" in result.out
