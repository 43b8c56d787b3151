"""A server to talk to, and nothing of the caller's own environment."""

from collections.abc import Iterator
from itertools import count

import pytest
from longshore import Client
from longshore.patience import Timing

from tests.clients.loopback import KEY_ID, SECRET, FakeServer


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LONGSHORE_URL", "LONGSHORE_KEY_ID", "LONGSHORE_SECRET", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


class Pauses(list[float]):
    """Pauses that were asked for; they pass at once."""

    def __init__(self) -> None:
        super().__init__()
        self._ticks = count()

    def sleep(self, seconds: float) -> None:
        self.append(seconds)

    def monotonic(self) -> float:
        return sum(self) + next(self._ticks) / 1e6

    @property
    def timing(self) -> Timing:
        return Timing(monotonic=self.monotonic, sleep=self.sleep, jitter=lambda: 0.5)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def client(server: FakeServer, pauses: Pauses) -> Iterator[Client]:
    with Client(server.url, KEY_ID, SECRET, timeout=30, timing=pauses.timing) as client:
        yield client
