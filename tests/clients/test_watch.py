"""Watching: over the socket, by polling, and from one to the other; it always ends."""

import json
import time
from typing import Any

import pytest
from longshore import CheckId, Client, Progress, TryLater
from longshore.watch import watch
from websockets.sync.server import ServerConnection

from tests.clients.conftest import Pauses
from tests.clients.loopback import JOB, FakeServer, Reply, problem

STATUS = f"/api/v1/imports/{JOB}"
TICKET = f"{STATUS}/socket-ticket"


def data(processed: int, *, status: str = "processing", failed: int = 0) -> dict[str, Any]:
    progress = {"total": 100, "processed": processed, "failed": failed}
    return {"status": status, "progress": progress, "outcomes": {"created": processed - failed}, "rate": 10}


def frame(seq: int, processed: int, *, status: str = "processing") -> str:
    body = {"seq": seq, "type": "progress", "jobId": JOB, "at": "2024-03-15T00:00:00Z"}
    return json.dumps({**body, "data": data(processed, status=status)})


def ticket(seen: object) -> Reply:
    path = f"/ws/imports/{JOB}"
    return Reply(201, {"ticket": "t-1", "url": path, "expiresAt": "2024-03-15T00:01:00Z"})


def follow(client: Client, pauses: Pauses, *, silence: float = 5.0) -> list[Progress]:
    session = client._session
    return list(watch(client, JOB, session.tls, sleep=pauses.sleep, silence_seconds=silence))


def brief(seen: list[Progress]) -> list[tuple[int, str, bool]]:
    return [(progress.processed, progress.status, progress.is_live) for progress in seen]


def test_the_socket_is_followed_to_the_end(server: FakeServer, client: Client, pauses: Pauses) -> None:
    def script(socket: ServerConnection, target: str) -> None:
        for seq, processed in enumerate((0, 40, 80)):
            socket.send(frame(seq, processed))
        socket.send(frame(3, 100, status="completed"))
        socket.recv(timeout=2)

    server.on("POST", TICKET, ticket)
    server.socket_scripts.append(script)
    seen = follow(client, pauses)
    assert brief(seen) == [
        (0, "processing", True),
        (40, "processing", True),
        (80, "processing", True),
        (100, "completed", True),
    ]
    assert (seen[1].rate, seen[1].seconds_left, seen[1].outcomes) == (10, 6, {"created": 40})
    assert server.socket_targets == [f"/ws/imports/{JOB}?ticket=t-1"]
    assert server.count("GET", STATUS) == 0
    assert pauses == []


@pytest.mark.parametrize(
    "url",
    [
        f"/ws/imports/{JOB}?ticket=t-1",
        f"ws://internal.example:9000/ws/imports/{JOB}?ticket=t-1",
        f"wss://127.0.0.1/ws/imports/{JOB}",
    ],
)
def test_the_socket_is_opened_on_the_host_we_know(server: FakeServer, client: Client, pauses: Pauses, url: str) -> None:
    server.on("POST", TICKET, Reply(201, {"ticket": "t-1", "url": url}))
    server.socket_scripts.append(lambda socket, _: socket.send(frame(0, 100, status="completed")))
    assert brief(follow(client, pauses)) == [(100, "completed", True)]
    assert server.socket_targets == [f"/ws/imports/{JOB}?ticket=t-1"]


def test_a_socket_that_breaks_is_rejoined_where_it_broke(server: FakeServer, client: Client, pauses: Pauses) -> None:
    server.on("POST", TICKET, ticket)
    server.socket_scripts += [
        lambda socket, _: socket.send(frame(7, 40)),
        lambda socket, _: socket.send(frame(9, 100, status="completed")),
    ]
    assert brief(follow(client, pauses)) == [(40, "processing", True), (100, "completed", True)]
    assert server.socket_targets[1] == f"/ws/imports/{JOB}?ticket=t-1&after=7"
    assert server.count("POST", TICKET) == 2


def test_a_socket_that_keeps_breaking_gives_way_to_polling(server: FakeServer, client: Client, pauses: Pauses) -> None:
    server.on("POST", TICKET, ticket)
    server.on("GET", STATUS, Reply(200, data(50)), Reply(200, data(100, status="completed")))
    assert brief(follow(client, pauses)) == [(50, "processing", False), (100, "completed", False)]
    assert len(server.socket_targets) == 4


@pytest.mark.parametrize("code", [4401, 4403, 4404])
def test_a_socket_that_is_refused_gives_way_to_polling(
    server: FakeServer, client: Client, pauses: Pauses, code: int
) -> None:
    server.on("POST", TICKET, ticket)
    server.socket_scripts += [lambda socket, _: socket.close(code)] * 4
    server.on("GET", STATUS, Reply(200, data(100, status="completed")))
    assert brief(follow(client, pauses)) == [(100, "completed", False)]


@pytest.mark.parametrize(
    "answer", [problem(404, "not_found", "No."), Reply(201, {}), Reply(201, {"ticket": "t", "url": "/nowhere"})]
)
def test_where_there_is_no_socket_it_polls(server: FakeServer, client: Client, pauses: Pauses, answer: Reply) -> None:
    server.on("POST", TICKET, answer)
    server.on("GET", STATUS, *(Reply(200, data(n)) for n in (10, 20)), Reply(200, data(100, status="failed")))
    assert brief(follow(client, pauses)) == [
        (10, "processing", False),
        (20, "processing", False),
        (100, "failed", False),
    ]
    assert pauses == [1.0, 1.0]


def test_a_silent_socket_is_checked_against_the_truth(server: FakeServer, client: Client, pauses: Pauses) -> None:
    def script(socket: ServerConnection, target: str) -> None:
        socket.send(frame(0, 10))
        socket.recv(timeout=5)

    server.on("POST", TICKET, ticket)
    server.socket_scripts.append(script)
    server.on("GET", STATUS, Reply(200, data(60)), Reply(200, data(100, status="completed")))
    began = time.monotonic()
    assert brief(follow(client, pauses, silence=0.2)) == [
        (10, "processing", True),
        (60, "processing", False),
        (100, "completed", False),
    ]
    assert time.monotonic() - began < 4


def test_frames_of_another_kind_are_passed_over(server: FakeServer, client: Client, pauses: Pauses) -> None:
    def script(socket: ServerConnection, target: str) -> None:
        for text in ("hello", "[]", '{"seq":1}', '{"seq":2,"data":{"message":"hi"}}', '{"data":null}'):
            socket.send(text)
        socket.send(frame(3, 100, status="completed"))

    server.on("POST", TICKET, ticket)
    server.socket_scripts.append(script)
    assert brief(follow(client, pauses)) == [(100, "completed", True)]


def test_a_job_that_does_not_exist_is_told(server: FakeServer, client: Client) -> None:
    with pytest.raises(CheckId):
        list(client.watch(JOB))


def test_a_server_that_goes_away_for_good_ends_it(server: FakeServer, client: Client, pauses: Pauses) -> None:
    server.on("POST", TICKET, problem(404, "not_found", "No."))
    server.on("GET", STATUS, Reply(200, data(10)), problem(503, "busy", "Busy."))
    with pytest.raises(TryLater):
        follow(client, pauses)
