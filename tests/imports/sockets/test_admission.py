"""Who gets to see a job, and the close code for who does not."""

import hashlib
from collections.abc import Callable
from uuid import uuid4

import pytest
from django.conf import settings as configured
from django.contrib.auth.models import Permission, User
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from customers.models import Customer
from imports import consumers, tickets
from imports.models import ImportJob
from tests.imports.sockets.watching import Headers, Socket, in_thread, make_job, opened, signed_in

pytestmark = pytest.mark.anyio
IssueTicket = Callable[[], str]


async def answer_to(path: str, headers: Headers = ()) -> int | str:
    """The type of the first frame, or the close code."""
    socket = Socket(path, headers)
    await socket.connect()
    output = await socket.output()
    await socket.leave()
    return int(output["code"]) if output["type"] == "websocket.close" else "admitted"


async def test_the_owner_comes_in_by_ticket_and_once(watched_job: ImportJob, ticket: IssueTicket) -> None:
    token = await in_thread(ticket)
    first = await opened(watched_job, token)
    assert (await first.frame())["type"] == "snapshot"
    second = await opened(watched_job, token)
    assert await second.close_code() == consumers.NOT_ADMITTED
    await first.leave()


async def test_no_ticket_and_an_unknown_one_are_not_admitted(watched_job: ImportJob) -> None:
    path = f"/ws/imports/{watched_job.uuid}"
    assert await answer_to(path) == 4401
    assert await answer_to(f"{path}?ticket=") == 4401
    assert await answer_to(f"{path}?ticket={'A' * 43}") == 4401
    assert await answer_to(f"{path}?ticket=%ff%00&after=1") == 4401


async def test_an_expired_ticket_is_not_admitted(watched_job: ImportJob, ticket: IssueTicket) -> None:
    token = await in_thread(ticket)
    key = f"longshore:ticket:{hashlib.sha256(token.encode()).hexdigest()}"
    Redis.from_url(configured.REDIS_URL).pexpire(key, 0)
    socket = await opened(watched_job, token)
    assert await socket.close_code() == 4401


async def test_a_ticket_opens_no_other_job(
    watched_job: ImportJob, watched_customer: Customer, ticket: IssueTicket
) -> None:
    other = await in_thread(make_job, watched_customer)
    token = await in_thread(ticket)
    assert await answer_to(f"/ws/imports/{other.uuid}?ticket={token}") == 4403
    assert await answer_to(f"/ws/imports/{watched_job.uuid}?ticket={token}") == 4401
    assert await answer_to(f"/ws/imports/{uuid4()}?ticket={await in_thread(ticket)}") == 4403
    assert await answer_to(f"/ws/imports/nonsense?ticket={await in_thread(ticket)}") == 4403


async def test_a_ticket_in_a_strangers_name_opens_nothing(watched_job: ImportJob) -> None:
    ticket = await in_thread(tickets.issue, watched_job, watched_job.customer_id + 1, timezone.now())
    socket = await opened(watched_job, ticket.token)
    assert await socket.close_code() == 4403


async def test_a_job_that_is_gone_is_said_to_be(watched_job: ImportJob, ticket: IssueTicket, staff: User) -> None:
    token = await in_thread(ticket)
    watching = await opened(watched_job, await in_thread(ticket))
    await watching.frame()
    await in_thread(ImportJob.objects.all().delete)
    assert await answer_to(f"/ws/imports/{watched_job.uuid}?ticket={token}") == 4404
    assert await watching.close_code() == 4404
    headers = await in_thread(signed_in, staff)
    assert await answer_to(f"/ws/imports/{watched_job.uuid}", headers) == 4404
    assert await answer_to("/ws/imports/nonsense", headers) == 4404


async def test_a_ticket_is_good_from_any_origin(watched_job: ImportJob, ticket: IssueTicket) -> None:
    path = f"/ws/imports/{watched_job.uuid}?ticket={await in_thread(ticket)}"
    assert await answer_to(path, [(b"origin", b"https://dashboard.bigcorp.example")]) == "admitted"


async def test_staff_with_the_permission_need_no_ticket(watched_job: ImportJob, staff: User) -> None:
    assert await answer_to(f"/ws/imports/{watched_job.uuid}", await in_thread(signed_in, staff)) == "admitted"


async def test_staff_without_the_permission_and_people_who_are_no_staff_are_refused(
    watched_job: ImportJob, staff: User
) -> None:
    path = f"/ws/imports/{watched_job.uuid}"
    await in_thread(staff.user_permissions.clear)
    assert await answer_to(path, await in_thread(signed_in, staff)) == 4403
    outsider = await in_thread(User.objects.create_user, "eve")
    await in_thread(outsider.user_permissions.add, await in_thread(Permission.objects.get, codename="view_importjob"))
    assert await answer_to(path, await in_thread(signed_in, outsider)) == 4403
    assert await answer_to(path, [(b"cookie", b"sessionid=forged")]) == 4401


async def test_a_session_comes_only_from_our_own_pages(watched_job: ImportJob, staff: User, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["console.example.com"]
    own, evil = b"https://console.example.com", b"https://evil.example"
    lookalikes = (b"https://console.example.com.evil.example", b"null", b"http://[", b"")
    session = list(await in_thread(signed_in, staff))
    for origins, answer in (
        ([own], "admitted"),
        ([own + b":8443"], "admitted"),
        ([evil], 4403),
        ([evil, own], 4403),
        *(([lookalike], 4403) for lookalike in lookalikes),
    ):
        headers = session + [(b"origin", origin) for origin in origins]
        assert await answer_to(f"/ws/imports/{watched_job.uuid}", headers) == answer, origins


@pytest.mark.parametrize("end", ["password", "permission", "inactive"])
async def test_a_session_that_ends_ends_its_socket(
    watched_job: ImportJob, staff: User, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(consumers, "STAFF_CHECK_SECONDS", 0.2)
    headers = await in_thread(signed_in, staff)
    socket = Socket(f"/ws/imports/{watched_job.uuid}", headers)
    await socket.connect()
    await socket.frame()
    assert await socket.is_quiet()
    if end == "password":
        await in_thread(User.objects.update, password="another")
    elif end == "permission":
        await in_thread(staff.user_permissions.clear)
    else:
        await in_thread(User.objects.update, is_active=False)
    assert await socket.close_code() == 4401


async def test_a_session_that_cannot_be_checked_does_not_stay(
    watched_job: ImportJob, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "STAFF_CHECK_SECONDS", 0.2)
    socket = Socket(f"/ws/imports/{watched_job.uuid}", await in_thread(signed_in, staff))
    await socket.connect()
    await socket.frame()
    monkeypatch.setattr(consumers, "get_user", lambda scope: 1 // 0)
    assert await socket.close_code() == 1011


async def test_a_client_that_talks_too_much_is_shut_out(watched_job: ImportJob, ticket: IssueTicket) -> None:
    socket = await opened(watched_job, await in_thread(ticket))
    await socket.frame()
    for _ in range(consumers.MAX_MESSAGES):
        await socket.say("ping")
    assert await socket.is_quiet()
    await socket.say("ping")
    assert await socket.close_code() == 1008

    socket = await opened(watched_job, await in_thread(ticket))
    await socket.frame()
    await socket.say("x" * (consumers.MAX_MESSAGE_CHARACTERS + 1))
    assert await socket.close_code() == 1009
