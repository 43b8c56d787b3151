"""What a socket says, in which order and how often."""

import asyncio
import time
from collections.abc import Callable
from itertools import pairwise
from uuid import UUID

import pytest
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.utils.dateparse import parse_datetime

from customers.models import Customer
from imports import feed, publishing
from imports.models import ImportJob
from imports.progress import snapshot
from tests.imports.sockets.watching import advance, all_of, finish, in_thread, make_job, opened

pytestmark = pytest.mark.anyio
IssueTicket = Callable[[], str]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """Grows by one with each reading of a job."""
    read: list[UUID] = []
    find = feed._find

    def counting(job: UUID) -> ImportJob | None:
        read.append(job)
        return find(job)

    monkeypatch.setattr(feed, "_find", counting)
    return read


async def test_the_first_frame_is_a_snapshot_of_the_database(watched_job: ImportJob, ticket: IssueTicket) -> None:
    await in_thread(advance, watched_job, records=400, rings=False)
    socket = await opened(watched_job, await in_thread(ticket))
    frame = await socket.frame()
    assert (frame["seq"], frame["type"], frame["jobId"]) == (1, "snapshot", str(watched_job.uuid))
    at = parse_datetime(frame["at"])
    assert at is not None
    assert frame["data"].keys() == snapshot(watched_job, at).keys()
    assert frame["data"]["progress"] == {"total": 1000, "processed": 400, "failed": 0}
    assert await socket.is_quiet()

    await in_thread(advance, watched_job, records=200)
    frame = await socket.frame()
    assert (frame["seq"], frame["type"]) == (2, "progress")
    assert frame["data"]["progress"]["processed"] == 600
    await socket.leave()


async def test_a_hundred_commits_in_a_second_make_few_frames_and_end_in_the_truth(
    watched_job: ImportJob, ticket: IssueTicket
) -> None:
    socket = await opened(watched_job, await in_thread(ticket))
    first = await socket.frame()
    following = asyncio.create_task(socket.frames_to_the_end())
    await asyncio.sleep(feed.SETTLING_SECONDS)
    begun, ended = await in_thread(commit_for_a_second, watched_job)
    frames, times, code = await following

    assert first["type"] == "snapshot"
    assert [frame["type"] for frame in frames] == [*["progress"] * (len(frames) - 1), "completed"]
    assert 3 <= sum(at < begun + 1 for at in times) <= 5
    assert min(later - earlier for earlier, later in pairwise(times)) > 0.24
    seqs = [frame["seq"] for frame in frames]
    assert seqs == sorted(set(seqs))
    assert (frames[-1]["seq"], frames[-1]["data"]["progress"]["processed"]) == (100, 1000)
    assert times[-1] - ended < 0.25 + 0.15
    assert code == 1000


def commit_for_a_second(job: ImportJob) -> tuple[float, float]:
    """A hundred commits, each with its ring, the last one final; when they began and ended."""
    begun = time.monotonic()
    for commit in range(99):
        advance(job)
        time.sleep(max(begun + (commit + 1) / 100 - time.monotonic(), 0))
    finish(job)
    return begun, time.monotonic()


async def test_a_commit_whose_ring_was_throttled_is_seen_within_a_second(
    watched_job: ImportJob, ticket: IssueTicket
) -> None:
    socket = await opened(watched_job, await in_thread(ticket))
    await socket.frame()
    await asyncio.sleep(feed.SETTLING_SECONDS + feed.SPACING_SECONDS)
    await in_thread(advance, watched_job)
    assert (await socket.frame())["seq"] == 1
    await in_thread(advance, watched_job, rings=False)
    assert (await socket.frame(timeout=1))["seq"] == 2
    await socket.leave()


async def test_rejoining_tells_only_what_is_new(watched_job: ImportJob, ticket: IssueTicket) -> None:
    for _ in range(3):
        await in_thread(advance, watched_job, rings=False)
    current = await opened(watched_job, await in_thread(ticket), query="&after=3")
    ahead = await opened(watched_job, await in_thread(ticket), query="&after=4")
    behind = await opened(watched_job, await in_thread(ticket), query="&after=2")
    assert (await behind.frame())["type"] == "snapshot"
    assert await current.is_quiet()
    assert await ahead.is_quiet()
    await in_thread(advance, watched_job)
    assert (await current.frame())["seq"] == 4
    assert (await behind.frame())["seq"] == 4
    assert await ahead.is_quiet()
    await in_thread(finish, watched_job)
    for socket in (current, behind, ahead):
        frame = await socket.frame()
        assert (frame["seq"], frame["type"]) == (5, "completed")
        assert await socket.close_code() == 1000


async def test_an_after_that_is_no_number_gets_the_snapshot(watched_job: ImportJob, ticket: IssueTicket) -> None:
    for after in ("", "-1", "x", "1.5", "٣", "9" * 40):
        socket = await opened(watched_job, await in_thread(ticket), query=f"&after={after}")
        assert (await socket.frame())["type"] == "snapshot", after
        await socket.leave()


async def test_a_finished_job_gives_its_final_frame_and_closes(watched_job: ImportJob, ticket: IssueTicket) -> None:
    await in_thread(finish, watched_job, rings=False)
    for after, kinds in (("", ["snapshot", "completed"]), ("1", ["completed"]), ("7", ["completed"])):
        socket = await opened(watched_job, await in_thread(ticket), query=f"&after={after}")
        frames, _, code = await socket.frames_to_the_end()
        assert [frame["type"] for frame in frames] == kinds
        assert {frame["seq"] for frame in frames} == {1}
        assert code == 1000


async def test_a_failed_job_ends_with_its_reason(watched_job: ImportJob, ticket: IssueTicket) -> None:
    watched_job.status, watched_job.status_reason = ImportJob.Status.FAILED, "Cancelled."
    watched_job.unprocessed, watched_job.revision = watched_job.total, 1
    watched_job.finished_at = watched_job.created_at
    await in_thread(watched_job.save)
    socket = await opened(watched_job, await in_thread(ticket))
    frames, _, _ = await socket.frames_to_the_end()
    assert frames[-1]["type"] == frames[-1]["data"]["status"] == "failed"
    assert frames[-1]["data"]["statusReason"] == "Cancelled."


async def test_a_job_that_ends_while_its_socket_opens_is_not_missed(
    watched_job: ImportJob, ticket: IssueTicket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commits without a ring right after the first read: between the layer's SUBSCRIBE and Valkey's taking it."""
    find, is_first = feed._find, True

    def find_then_finish(job: UUID) -> ImportJob | None:
        nonlocal is_first
        found = find(job)
        if is_first:
            is_first = False
            finish(watched_job, rings=False)
        return found

    monkeypatch.setattr(feed, "_find", find_then_finish)
    socket = await opened(watched_job, await in_thread(ticket))
    frames, times, code = await socket.frames_to_the_end()
    assert [frame["type"] for frame in frames] == ["snapshot", "completed"]
    assert times[1] - times[0] < 1
    assert code == 1000


async def test_fifty_sockets_on_a_job_share_their_reads(
    watched_job: ImportJob, ticket: IssueTicket, reads: list[UUID]
) -> None:
    tokens = [await in_thread(ticket) for _ in range(50)]
    sockets = await all_of(*(opened(watched_job, token) for token in tokens))
    await all_of(*(socket.frame() for socket in sockets))
    await asyncio.sleep(feed.SETTLING_SECONDS + feed.SPACING_SECONDS)
    reads.clear()
    begun = asyncio.get_running_loop().time()
    for _ in range(10):
        await in_thread(advance, watched_job)
        await asyncio.sleep(0.1)
    await in_thread(finish, watched_job)
    endings = await all_of(*(socket.frames_to_the_end() for socket in sockets))
    seconds = asyncio.get_running_loop().time() - begun

    for frames, _, code in endings:
        assert (frames[-1]["type"], frames[-1]["seq"], code) == ("completed", 11, 1000)
        assert len(frames) <= 4 * seconds + 1
    assert len(reads) <= seconds / feed.SPACING_SECONDS + 1
    for socket in sockets:
        await socket.leave()
    assert not any(feed._feeds.values())


async def test_a_read_is_one_query_and_gives_its_connection_back(
    watched_job: ImportJob, ticket: IssueTicket, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    execute = CursorWrapper.execute

    def noting(self: CursorWrapper, sql: str, params: object = None) -> object:
        statements.append(sql)
        return execute(self, sql, params)  # type: ignore[arg-type]

    token = await in_thread(ticket)
    connections_before = await in_thread(count_connections)
    with monkeypatch.context() as patch:
        patch.setattr(CursorWrapper, "execute", noting)
        socket = await opened(watched_job, token)
        await socket.frame()
        assert await socket.is_quiet()
    assert 1 <= len(statements) <= 3
    assert all("imports_importjob" in sql and "metadata" not in sql for sql in statements)
    assert await in_thread(count_connections) == connections_before
    await socket.leave()


def count_connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


async def test_a_socket_hears_of_its_own_job_alone(
    watched_job: ImportJob, watched_customer: Customer, ticket: IssueTicket
) -> None:
    other = await in_thread(make_job, watched_customer)
    socket = await opened(watched_job, await in_thread(ticket))
    await socket.frame()
    await in_thread(advance, other)
    assert await socket.is_quiet()
    await in_thread(publishing.publish, watched_job.pk, watched_job.uuid, 0, final=True)
    assert await socket.is_quiet()
    await socket.leave()
