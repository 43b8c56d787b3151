"""Every step between receipt and completion fails once, in real processes; nothing is lost and nothing done twice."""

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from config import processes
from customers import signing
from imports import doorbell, failpoints, sweeper
from imports.models import ImportJob
from imports.parts import digest_of
from tests.config.probes import is_alive, wait_until
from tests.flows.house import ROOT
from tests.imports.dry_runs import dry_run
from tests.imports.pipeline import (
    Caller,
    account_of,
    body_of,
    outcomes_of,
    push,
    record,
    records,
    run,
    stored_by,
    work,
)
from tests.imports.undos import ask, contents, counts_of, now_at
from tests.live import LiveServer, granian_server
from tests.live import test_database_url as database_url

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("small_batches", "empty_queue"),
]

OF_WEB = ("body_read", "accepting", "accepted", "rung")
OF_COMMIT = ("resealing", "committing")
OF_SWEEPER = ("sweeping",)
OF_SUPERVISOR = ("restarting",)
OF_POISON = ("reading_record", "splitting")  # in test_poison.py
OF_UNDO = ("unwound", "unwound_committed")
OF_OTHERS = (*OF_WEB, *OF_COMMIT, *OF_SWEEPER, *OF_SUPERVISOR, *OF_POISON, *OF_UNDO)
OF_WORKER = tuple(name for name in failpoints.POINTS if name not in OF_OTHERS)
COUNT = 45


class Keeper:
    """One child of the house, started again whenever it has ended, as the supervisor does."""

    def __init__(self, command: str, environment: Mapping[str, str], output: Path) -> None:
        self._spec = processes.ProcessSpec(
            name=command,
            command=[sys.executable, str(ROOT / "manage.py"), command, "--skip-checks"],
            environment={**os.environ, "DATABASE_URL": database_url(), **environment},
        )
        self._output = output
        self.starts = 0
        self._start()

    def look(self) -> None:
        if self._child.poll() is not None:
            self._start()

    @property
    def pid(self) -> int:
        return self._child.pid

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._child.kill()
        self._child.wait()

    def _start(self) -> None:
        with self._output.open("ab") as output:
            self._child = processes.start(self._spec, output.fileno())
        self.starts += 1


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture(scope="module")
def sound_server(django_db_setup: None) -> Iterator[LiveServer]:
    """The web process that stands beside the failing one, or comes after it."""
    with granian_server() as server:
        yield server


@contextmanager
def keeping(*keepers: Keeper) -> Iterator[None]:
    try:
        yield
    finally:
        for keeper in keepers:
            keeper.stop()


def struck(data_dir: Path, name: str) -> int:
    return len(list(data_dir.glob(f"failpoint.{name}.*")))


def until(is_so: Callable[[], bool], *each: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "the job did not come to its end"
        for step in each:
            step()
        time.sleep(0.1)


def is_done(job: ImportJob) -> bool:
    return ImportJob.objects.get(pk=job.pk).is_finished


def require_whole(job: ImportJob, owner: Caller, count: int = COUNT) -> None:
    assert account_of(job).status == "completed"
    assert Counter(outcomes_of(job)) == {"created": count}
    assert len(stored_by(owner)) == count


@pytest.mark.parametrize("point", [*OF_WORKER, "claimed=stop", "counted=stop", "upserted=error", "committed=error"])
def test_a_worker_that_fails_there_loses_and_doubles_nothing(owner: Caller, data_dir: Path, point: str) -> None:
    count = 1500 if point == "passing_on" else COUNT  # more than a turn's work
    job = push(owner, records(count))
    worker = Keeper("worker", {"DATA_DIR": str(data_dir), "FAILPOINT": point}, data_dir / "worker.log")
    with keeping(worker):
        until(lambda: is_done(job), worker.look, sweeper.sweep)
        until(lambda: struck(data_dir, point.partition("=")[0]) == 1)
    require_whole(job, owner, count)


@pytest.mark.parametrize("point", [*OF_UNDO, "unwound:3", "unwound=stop", "unwound=error", "unwound_committed=error"])
def test_a_worker_that_fails_in_an_undo_repeats_and_leaves_out_nothing(
    owner: Caller, data_dir: Path, point: str
) -> None:
    run(owner, [record(f"A-{number}", attributes={}) for number in range(0, COUNT, 2)])
    before = contents(owner)
    job = run(owner, records(COUNT))
    asked = ask(owner, job)
    doorbell.queue().delete(delete_jobs=True)  # the first ring was lost
    name, _, times = point.partition("=")[0].partition(":")
    worker = Keeper("worker", {"DATA_DIR": str(data_dir), "FAILPOINT": point}, data_dir / "worker.log")
    with keeping(worker):
        until(lambda: now_at(asked).state == "done", worker.look, sweeper.sweep, seconds=60)
    assert struck(data_dir, name) == int(times or 1)
    assert counts_of(now_at(asked)) == {"removed": COUNT // 2, "restored": COUNT - COUNT // 2}
    assert contents(owner) == before


def test_a_sweeper_that_fails_before_it_rings_rings_when_it_is_back(owner: Caller, data_dir: Path) -> None:
    job = push(owner, records(COUNT))
    doorbell.queue().delete(delete_jobs=True)  # the first ring was lost
    sweeps = Keeper("sweeper", {"DATA_DIR": str(data_dir), "FAILPOINT": "sweeping"}, data_dir / "sweeper.log")
    with keeping(sweeps):
        until(lambda: doorbell.waiting() > 0, sweeps.look)
    work()
    assert struck(data_dir, "sweeping") == 1
    assert sweeps.starts == 2
    require_whole(job, owner)


@pytest.mark.parametrize("point", [*OF_WEB, "accepting=error", "body_read=error"])
def test_a_web_process_that_fails_there_forgets_no_answer(
    owner: Caller, data_dir: Path, sound_server: LiveServer, point: str
) -> None:
    body = body_of(records(COUNT))
    environment = {"DATA_DIR": str(data_dir), "FAILPOINT": point}
    with granian_server(environment=environment) as server:
        first = post(server.url, owner, body)
        second = post(server.url, owner, body) if first else None
    if first is None:
        second = post(sound_server.url, owner, body)
    assert struck(data_dir, point.partition("=")[0]) == 1
    assert first == (503 if point.endswith("=error") else None)
    assert second == 202
    job = ImportJob.objects.get()  # one, whether or not the first call had been committed
    work()
    require_whole(job, owner)


@pytest.mark.parametrize("point", [*OF_COMMIT, "accepted", "rung", "committing=error", "resealing=error"])
def test_a_commit_that_fails_there_is_done_once(
    owner: Caller, data_dir: Path, sound_server: LiveServer, point: str
) -> None:
    checked = dry_run(owner, records(COUNT))
    environment = {"DATA_DIR": str(data_dir), "FAILPOINT": point}
    target = f"/api/v1/imports/{checked.uuid}/commit"
    body = json.dumps({"digest": signing.encode(digest_of(checked) or b"")}).encode()
    with granian_server(environment=environment) as server:
        first = post(server.url, owner, body, target)
        second = post(server.url, owner, body, target) if first else None
    if first is None:
        second = post(sound_server.url, owner, body, target)
    assert struck(data_dir, point.partition("=")[0]) == 1
    assert first == (503 if point.endswith("=error") else None)
    assert second == 202
    job = ImportJob.objects.get(kind="import")
    work()
    require_whole(job, owner)


def post(url: str, caller: Caller, body: bytes, target: str = "/api/v1/imports/bulk") -> int | None:
    """The answer's status, None where the server died over it."""
    host = url.partition("//")[2]
    media_type = "application/vnd.bigcorp.v1+json"
    authorization = signing.sign_request(
        caller.key.key_id,
        caller.key.secret,
        method="POST",
        host=host,
        target=target,
        content_type=media_type,
        body_sha256=urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode(),
    )
    headers = {"Authorization": authorization, "Content-Type": media_type, "Idempotency-Key": "the-one"}
    try:
        answer = httpx2.post(f"{url}{target}", content=body, headers=headers, timeout=20)
    except httpx2.TransportError:
        return None
    if answer.status_code == 503:
        assert int(answer.headers["Retry-After"]) > 0
    return answer.status_code


def test_every_failpoint_is_tried() -> None:
    assert {*OF_OTHERS, *OF_WORKER} == set(failpoints.POINTS)


def test_unset_failpoints_are_empty_calls() -> None:
    items = [1, 2]
    assert failpoints.each("copying", items) is items
    assert failpoints.watched("reading_record", bytes) is bytes
    assert failpoints.hit.__doc__ == "Nothing is set."


@pytest.mark.parametrize("text", ["nowhere", "claimed=dance", "claimed:x", "Claimed", "claimed@"])
def test_a_misspelt_failpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="FAILPOINT must be"):
        failpoints.parse(text)
    assert failpoints.parse("") is None


SUPERVISOR = """
import asyncio, sys
from config.processes import ProcessSpec
from config.supervisor import Supervisor
lives = "import os, time; print('pid', os.getpid(), flush=True); time.sleep(60)"
specs = [ProcessSpec(name="worker", command=[sys.executable, "-c", lives]),
         ProcessSpec(name="sweeper", command=[sys.executable, "-c", "import time; time.sleep(1); raise SystemExit(1)"])]
sys.exit(asyncio.run(Supervisor([specs]).run()))
"""


def test_a_supervisor_that_dies_over_a_dead_child_leaves_no_process_behind(data_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SUPERVISOR],
        env={**os.environ, "DATA_DIR": str(data_dir), "FAILPOINT": "restarting"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, struck(data_dir, "restarting")) == (failpoints.STATUS, 1)
    (worker,) = re.findall(r"pid (\d+)", done.stdout)
    wait_until(lambda: not is_alive(int(worker)))
