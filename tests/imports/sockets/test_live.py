"""The socket through a real granian, with a foreign client."""

import json
import os
import socket as sockets
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from audit.context import Actor, acting_as
from customers.enrolment import create_customer, issue_key
from customers.models import Customer
from imports.models import ImportJob
from tests.imports.api.wire import Signer
from tests.imports.sockets.watching import advance, finish, make_job, signed_in
from tests.live import LiveServer, granian_server

PROCESS = "longshore-sockets-under-test"
POOL_SIZE = 2
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[LiveServer]:
    """With fewer database connections than sockets."""
    with granian_server(environment={"DATABASE_POOL_SIZE": str(POOL_SIZE), "PROCESS_NAME": PROCESS}) as live:
        yield live
        assert "Traceback" not in live.log, live.log


@pytest.fixture
def owner(server: LiveServer, watched_customer: Customer) -> Signer:
    with acting_as(Actor("command", "tests")):
        issued = issue_key(watched_customer)
    return Signer(server, issued.key_id, issued.secret)


def ticket_url(signer: Signer, job: ImportJob) -> str:
    answer = signer.call("POST", f"/api/v1/imports/{job.uuid}/socket-ticket")
    assert answer.status == 201, answer.body
    url: str = answer.json["url"]
    return url


def next_frame(socket: ClientConnection, timeout: float = 3) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(socket.recv(timeout=timeout))
    return frame


def end_of(socket: ClientConnection) -> tuple[list[dict[str, Any]], int]:
    """The frames until the close, and the close code."""
    frames = []
    try:
        while True:
            frames.append(next_frame(socket, timeout=10))
    except ConnectionClosed as closed:
        assert closed.rcvd is not None
        return frames, closed.rcvd.code


def test_a_caller_follows_an_import_to_its_end(owner: Signer, watched_job: ImportJob) -> None:
    url = ticket_url(owner, watched_job)
    with connect(url) as socket:
        assert next_frame(socket)["type"] == "snapshot"
        advance(watched_job, records=600)
        committed = time.monotonic()
        frame = next_frame(socket)
        assert (frame["seq"], frame["type"], frame["data"]["progress"]["processed"]) == (1, "progress", 600)
        assert time.monotonic() - committed < 1
        finish(watched_job)
        frames, code = end_of(socket)
    assert [(frame["seq"], frame["type"]) for frame in frames] == [(2, "completed")]
    assert code == 1000
    with connect(url) as socket:
        assert end_of(socket) == ([], 4401)
    with connect(f"{ticket_url(owner, watched_job)}&after=2") as socket:
        assert [frame["type"] for frame in end_of(socket)[0]] == ["completed"]


def test_the_example_of_the_guide_follows_an_import(owner: Signer, watched_job: ImportJob, tmp_path: Path) -> None:
    guide = (REPOSITORY / "docs" / "sockets.md").read_text()
    example = tmp_path / "follow.py"
    example.write_text(guide.split("```python\n")[1].split("```")[0])
    assert len(example.read_text().splitlines()) <= 15
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY / "clients" / "python" / "src"),
        "LONGSHORE_URL": owner.server.url,
        "LONGSHORE_KEY_ID": owner.key_id,
        "LONGSHORE_SECRET": owner.secret,
    }
    command = [sys.executable, "-u", str(example), str(watched_job.uuid)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "0 snapshot 0 of 1000 failed: 0\n"
        advance(watched_job, records=250)
        assert running.stdout.readline() == "1 progress 250 of 1000 failed: 0\n"
        finish(watched_job)
        assert running.stdout.read() == "2 completed 1000 of 1000 failed: 0\n"
        assert running.wait(5) == 0


def test_a_stranger_gets_no_ticket_and_an_unsigned_call_neither(server: LiveServer, watched_job: ImportJob) -> None:
    with acting_as(Actor("command", "tests")):
        _, issued = create_customer("Stranger")
    stranger = Signer(server, issued.key_id, issued.secret)
    target = f"/api/v1/imports/{watched_job.uuid}/socket-ticket"
    assert stranger.call("POST", target).status == 404
    assert stranger.call("POST", target, headers={"Authorization": "HMAC x"}).status == 401
    for path in (str(watched_job.uuid), "nonsense"):
        with connect(f"ws://{server.host}:{server.port}/ws/imports/{path}") as socket:
            assert end_of(socket) == ([], 4401)


def test_a_staff_page_uses_its_session(server: LiveServer, watched_job: ImportJob, staff: User) -> None:
    address = f"ws://{server.host}:{server.port}/ws/imports/{watched_job.uuid}"
    ((_, cookie),) = signed_in(staff)
    headers = {"Cookie": cookie.decode()}
    own, evil = Origin(f"http://{server.host}:{server.port}"), Origin("http://evil.example")
    with connect(address, additional_headers=headers, origin=own) as socket:
        assert next_frame(socket)["type"] == "snapshot"
    with connect(address, additional_headers=headers, origin=evil) as socket:
        assert end_of(socket) == ([], 4403)


def test_fifty_sockets_on_ten_jobs_share_two_connections(
    server: LiveServer, owner: Signer, watched_customer: Customer
) -> None:
    jobs = [make_job(watched_customer) for _ in range(10)]
    urls = [ticket_url(owner, job) for job in jobs for _ in range(5)]
    with ExitStack() as stack, ThreadPoolExecutor(50) as threads:
        open_sockets = [stack.enter_context(connect(url)) for url in urls]
        following = [threads.submit(end_of, socket) for socket in open_sockets]
        for _ in range(5):
            for job in jobs:
                advance(job)
        assert count_web_connections() <= POOL_SIZE
        for job in jobs:
            finish(job)
        for ending in following:
            frames, code = ending.result()
            assert [frames[0]["type"], frames[-1]["type"], frames[-1]["seq"], code] == [
                "snapshot",
                "completed",
                6,
                1000,
            ]
    assert count_web_connections() <= POOL_SIZE


def test_a_client_that_vanishes_disturbs_nobody(server: LiveServer, owner: Signer, watched_job: ImportJob) -> None:
    with connect(ticket_url(owner, watched_job)) as staying:
        next_frame(staying)
        for _ in range(10):
            with connect(ticket_url(owner, watched_job), close_timeout=0.1) as vanishing:
                # A reset instead of a goodbye.
                vanishing.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
                vanishing.socket.close()
            advance(watched_job)
        finish(watched_job)
        assert end_of(staying)[0][-1]["type"] == "completed"


def test_an_idle_socket_stays_open_and_still_hears(owner: Signer, watched_job: ImportJob) -> None:
    """Longer than redis-py's default of 5 s, at which a subscription would be lost in silence. The ring is told from
    the reading every 5 s by coming in between two of those."""
    with connect(ticket_url(owner, watched_job), ping_interval=None) as socket:
        next_frame(socket)
        with pytest.raises(TimeoutError):
            socket.recv(timeout=6.5)
        advance(watched_job)
        assert next_frame(socket, timeout=1)["seq"] == 1


def test_a_large_or_endless_talker_is_shut_out(owner: Signer, watched_job: ImportJob) -> None:
    with connect(ticket_url(owner, watched_job)) as socket:
        next_frame(socket)
        socket.send("x" * 2000)
        assert end_of(socket)[1] == 1009
    with connect(ticket_url(owner, watched_job)) as socket:
        next_frame(socket)
        for _ in range(21):  # the last one ends it; what came after might meet a closed socket
            socket.send(b"\x00")
        assert end_of(socket)[1] == 1008


def count_web_connections() -> int:
    """Connections that this module's server holds."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s",
            [PROCESS],
        )
        return int(cursor.fetchone()[0])
