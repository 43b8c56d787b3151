import socket
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pytest_django import Settings
from redis import Redis

from customers import valkey as asked
from customers import windows
from customers.windows import Window

NOBODY_LISTENS = "unix:///nowhere/valkey.sock"


@pytest.fixture
def subject() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def counted_here(settings: Settings) -> Iterator[None]:
    """Valkey is away, and this process has counted nothing yet."""
    settings.REDIS_URL = NOBODY_LISTENS
    windows._local.cache_clear()
    yield
    windows._local.cache_clear()


def test_a_window_lets_its_count_through(subject: str) -> None:
    window = Window("test", 3, 60)
    uses = [window.hit(subject) for _ in range(4)]
    assert [use.is_within for use in uses] == [True, True, True, False]
    assert [use.remaining for use in uses] == [2, 1, 0, 0]
    assert all(59 <= use.reset_seconds <= 60 for use in uses)
    assert window.hit(uuid.uuid4().hex).is_within


def test_looking_counts_nothing(subject: str) -> None:
    window = Window("test", 2, 60)
    assert [window.look(subject).remaining for _ in range(3)] == [2, 2, 2]
    window.hit(subject)
    assert window.look(subject) == windows.Use(True, 1, 60)
    window.hit(subject)
    assert not window.look(subject).is_within


def test_a_changed_limit_goes_on_with_the_same_count(subject: str) -> None:
    for _ in range(5):
        assert Window("test", 5, 60).hit(subject).is_within
    assert not Window("test", 3, 60).hit(subject).is_within
    assert [Window("test", 7, 60).hit(subject).is_within for _ in range(3)] == [True, True, False]


def test_what_was_cleared_begins_anew(subject: str) -> None:
    window = Window("test", 1, 60)
    assert window.hit(subject).is_within
    window.clear(subject)
    assert window.hit(subject).is_within


def test_no_window_wherever_it_begins_holds_more_than_its_count(subject: str) -> None:
    """Eight callers without a pause over three lengths of the window, so over its edges too."""
    window, seconds = Window("test", 40, 1), 3.0
    passed: list[tuple[float, float]] = []

    def call_on() -> None:
        end = time.time() + seconds
        while time.time() < end:
            # Valkey counted it between the two.
            began = time.time()
            if window.hit(subject).is_within:
                passed.append((began, time.time()))

    with ThreadPoolExecutor(8) as threads:
        for _ in range(8):
            threads.submit(call_on)
    assert len(passed) >= 120
    surely_within = [
        sum(1 for began, ended in passed if start <= began and ended < start + window.seconds) for start, _ in passed
    ]
    assert 30 < max(surely_within) <= 40


@pytest.mark.usefixtures("counted_here")
@pytest.mark.parametrize(("processes", "share"), [(1, 8), (2, 4), (3, 2), (100, 1)])
def test_without_valkey_each_process_lets_through_its_share(
    settings: Settings, subject: str, processes: int, share: int
) -> None:
    settings.WEB = processes
    window = Window("test", 8, 60)
    assert [window.hit(subject).is_within for _ in range(10)].count(True) == share
    assert window.look(subject).remaining == 0


@pytest.mark.usefixtures("counted_here")
def test_a_dead_valkey_is_asked_once_a_second_by_whom_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, subject: str
) -> None:
    clock = [time.monotonic()]
    monkeypatch.setattr("customers.valkey.time.monotonic", lambda: clock[0])
    asked.try_again()
    for _ in range(10):
        Window("test", 100, 60).hit(subject)
    assert caplog.text.count("limits_counted_locally") == 1
    clock[0] += 1.5
    for _ in range(10):
        Window("test", 100, 60).hit(subject)
    assert caplog.text.count("limits_counted_locally") == 2


def test_a_valkey_that_hangs_costs_one_short_wait_a_second(tmp_path: Path, settings: Settings, subject: str) -> None:
    path = tmp_path / "hung.sock"
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(path))
        hung.listen(64)  # takes connections and never answers
        settings.REDIS_URL = f"unix://{path}"
        window, waits, lock = Window("test", 1000, 60), [], threading.Lock()

        def call_on() -> None:
            end = time.monotonic() + 1.8
            while time.monotonic() < end:
                before = time.monotonic()
                window.hit(subject)
                with lock:
                    waits.append(time.monotonic() - before)
                time.sleep(0.01)

        with pytest.raises(asked.Away):  # the loss is noticed once
            asked.ask(lambda client: client.ping(), purpose="noticed")
        with ThreadPoolExecutor(4) as threads:
            for call in [threads.submit(call_on) for _ in range(4)]:
                call.result()
    slow = [wait for wait in waits if wait > 0.1]
    assert len(slow) <= 2
    assert max(waits) < asked.TIMEOUT_SECONDS + 0.3


def test_a_valkey_that_came_back_counts_again(settings: Settings, subject: str) -> None:
    url = settings.REDIS_URL
    settings.REDIS_URL = NOBODY_LISTENS
    Window("test", 5, 60).hit(subject)
    settings.REDIS_URL = url
    assert Window("test", 5, 60).hit(subject).remaining == 4


def test_a_flush_lets_one_more_window_through_and_no_more(valkey: Redis, subject: str) -> None:
    window = Window("test", 5, 60)
    assert [window.hit(subject).is_within for _ in range(7)].count(True) == 5
    valkey.flushdb()
    assert [window.hit(subject).is_within for _ in range(7)].count(True) == 5
