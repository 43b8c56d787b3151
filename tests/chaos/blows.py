"""What is done to a house while it works: kills, flushes, crashes, at moments that a seed decides."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Final

import psycopg
import redis

from tests.chaos.house import ChaosHouse
from tests.chaos.recovering import OUTAGE

# Mostly workers, since they hold the work; web and sweeper now and then, the supervisor (a whole restart) seldom.
WEIGHTS: Final = {"parent": 20, "horse": 45, "both": 20, "sweeper": 8, "web": 5, "supervisor": 2}
VICTIM_SECONDS: Final = 60.0


@dataclass
class Plan:
    """How many blows of each kind, spread evenly over `share` of the work, in an order that the seed decides.

    The last one is always the kill of all workers at once, so that nobody's work hides how long a recovery takes.
    """

    seed: int
    kills: int
    flushes: int = 0
    valkey_kills: int = 0
    crashes: int = 0
    outage_seconds: float = 0.0
    share: float = 0.85
    weights: dict[str, int] = field(default_factory=lambda: dict(WEIGHTS))

    def blows(self, chance: random.Random) -> list[str]:
        kills = chance.choices(list(self.weights), list(self.weights.values()), k=self.kills - 1)
        others = ["flush"] * self.flushes + ["valkey"] * self.valkey_kills + ["crash"] * self.crashes
        if self.outage_seconds:
            others.append(OUTAGE)
        blows = [*kills, *others]
        chance.shuffle(blows)
        return [*blows, "workers"]


class Database:
    """The harness's own look at the database, which comes and goes."""

    def __init__(self, house: ChaosHouse) -> None:
        self._house = house
        self._session: psycopg.Connection[tuple[object, ...]] | None = None

    def number(self, query: str) -> int | None:
        """The query's one number, or None while the database is away."""
        try:
            if self._session is None or self._session.closed:
                self._session = psycopg.connect(self._house.database_url(), autocommit=True, connect_timeout=2)
            row = self._session.execute(query).fetchone()
        except psycopg.Error:
            self.close()
            return None
        return int(str(row[0])) if row and row[0] is not None else 0

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def strike(house: ChaosHouse, blow: str, chance: random.Random, *, outage_seconds: float = 0.0) -> bool:
    """One blow; False where nobody came to be hit within a minute."""
    if blow == "flush":
        return wait_until(lambda: _flush(house), VICTIM_SECONDS)
    if blow == OUTAGE:
        began = time.time()
        with valkey_held_down(house):
            time.sleep(outage_seconds)
        house.note(OUTAGE, since=began)
        return True
    if blow == "crash":
        # What `pg_ctl stop -m immediate` sends: no checkpoint, no goodbye.
        return wait_until(lambda: house.kill("postgres", 0.0, signal.SIGQUIT), VICTIM_SECONDS)
    return wait_until(lambda: house.kill(blow, chance.random()), VICTIM_SECONDS)


@contextmanager
def valkey_held_down(house: ChaosHouse) -> Iterator[None]:
    """Whenever the supervisor brings it back it goes again, until the block ends."""
    over = Event()

    def hold() -> None:
        while not over.wait(0.02):
            for process in house.processes("valkey"):
                with suppress(Exception):
                    process.kill()

    holder = Thread(target=hold)
    holder.start()
    try:
        yield
    finally:
        over.set()
        holder.join()


def wait_until(is_so: Callable[[], bool], seconds: float, *, step: float = 0.01) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(step)
    return True


def _flush(house: ChaosHouse) -> bool:
    try:
        with redis.Redis.from_url(house.redis_url(), socket_timeout=2) as valkey:
            valkey.flushall()
    except redis.RedisError:
        return False
    house.note("flush")
    return True
