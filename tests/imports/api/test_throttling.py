import uuid
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from imports.api import throttling
from imports.api.throttling import Window


@pytest.fixture
def fresh() -> Iterator[None]:
    throttling._shared.cache_clear()
    throttling._local.cache_clear()
    yield
    throttling._shared.cache_clear()
    throttling._local.cache_clear()


def test_a_window_lets_its_count_through(fresh: None) -> None:
    window, subject = Window("test", 3, 60), uuid.uuid4().hex
    assert [window.hit(subject) for _ in range(3)] == [0, 0, 0]
    assert 1 <= window.hit(subject) <= 61
    assert window.hit(uuid.uuid4().hex) == 0


def test_without_valkey_this_process_counts(fresh: None, settings: Settings) -> None:
    settings.REDIS_URL = "unix:///nowhere/valkey.sock?db=0"
    window = Window("test", 2, 60)
    assert [window.hit("somebody") > 0 for _ in range(3)] == [False, False, True]
