"""A steady import for a long time: no process, no key and no connection may become more."""

import json
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import psutil
import redis
from longshore import Client

from tests.chaos.blows import Database
from tests.chaos.house import ChaosHouse
from tests.chaos.importing import METADATA
from tests.chaos.report import Report

SLICES: Final = 20
BAD_EVERY: Final = 100
GROWTH: Final = 0.05
# Nonces are kept for 660 s, and only then do as many go as come.
WARM_UP_SECONDS: Final = 700
SLACK: Final = 3
_CONNECTIONS: Final = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"


@dataclass
class Sample:
    """One look at the house: kilobytes and open files by process, and what the servers hold."""

    at: float
    rss: dict[str, int]
    files: dict[str, int]
    valkey_keys: int
    valkey_kilobytes: int
    connections: int


@dataclass
class Soak(Report):
    """Each pair is a median just after the warm-up and one at the end."""

    minutes: float = 0.0
    imports: int = 0
    records: int = 0
    records_stored: int = 0
    unfinished: int = -1
    samples: int = 0
    restarted: list[str] = field(default_factory=list)
    rss_kilobytes: dict[str, tuple[float, float]] = field(default_factory=dict)
    rss_growth_percent: dict[str, float] = field(default_factory=dict)
    files: dict[str, tuple[float, float]] = field(default_factory=dict)
    valkey_keys: tuple[float, float] = (0, 0)
    valkey_kilobytes: tuple[float, float] = (0, 0)
    connections: tuple[float, float] = (0, 0)

    def faults(self) -> list[str]:
        found = [f"{name} grew by {growth} %" for name, growth in self.rss_growth_percent.items() if growth > 5]
        found += [f"{name} opened files" for name, pair in self.files.items() if pair[1] > pair[0] + SLACK]
        found += [f"{name} was started again" for name in self.restarted]
        found += ["imports did not end"] * (self.unfinished != 0)
        found += ["nothing was imported"] * (self.records == 0)
        found += ["keys grew in Valkey"] * (self.valkey_keys[1] > self.valkey_keys[0] * (1 + GROWTH) + SLACK)
        found += ["Valkey's memory grew"] * (self.valkey_kilobytes[1] > self.valkey_kilobytes[0] * (1 + GROWTH))
        found += ["connections grew"] * (self.connections[1] > self.connections[0] + SLACK)
        return found


def run_soak(
    house: ChaosHouse, *, seed: int, minutes: float, size: int = 4_000, pause: float = 4.0, every: float = 10.0
) -> Soak:
    """Pushes `size` records every `pause` seconds; the same records again and again, so that only work goes on."""
    soak = Soak(seed, minutes)
    who = house.enrol(f"Soak {seed}")
    samples: list[Sample] = []
    began = time.monotonic()
    with house.as_house().client(who) as client:
        while time.monotonic() < began + minutes * 60:
            soak.imports += 1
            soak.records += size
            job = client.push(_document(soak.imports, size), format="json").job_id
            _look_around(client, job, soak.imports, size)
            if time.monotonic() >= began + len(samples) * every:
                samples.append(take_sample(house))
                print(json.dumps(samples[-1].__dict__), file=sys.stderr, flush=True)
            time.sleep(max(0.0, began + soak.imports * pause - time.monotonic()))
        client.status(job)
        for _ in client.watch(job):
            pass
    database = Database(house)
    soak.unfinished = database.number("SELECT count(*) FROM imports_importjob WHERE finished_at IS NULL") or 0
    soak.records_stored = database.number("SELECT count(*) FROM imports_record") or 0
    database.close()
    _compare(soak, samples)
    return soak


def take_sample(house: ChaosHouse) -> Sample:
    named = _processes(house)
    rss, files = {}, {}
    for name, process in named.items():
        with suppress(psutil.Error):
            rss[name], files[name] = process.memory_info().rss // 1024, process.num_fds()
    database = Database(house)
    connections = (database.number(_CONNECTIONS) or 1) - 1
    database.close()
    with redis.Redis.from_url(house.redis_url()) as valkey:
        kilobytes = int(valkey.info("memory")["used_memory"]) // 1024
        return Sample(round(time.time(), 1), rss, files, int(valkey.dbsize()), kilobytes, connections)


def _processes(house: ChaosHouse) -> dict[str, psutil.Process]:
    """Everything but PostgreSQL and the work-horses, which live for a second. The number tells a second life."""
    found = {f"supervisor {house.process.pid}": psutil.Process(house.process.pid)}
    for role in ("parent", "sweeper", "web", "valkey"):
        for process in house.processes(role):
            found[f"{role} {process.pid}"] = process
    return found


def _document(number: int, size: int) -> bytes:
    """A slice of the records with new content, some of them broken."""
    first = number % SLICES * size
    sent = [
        {
            "id": f"K{place:07d}",
            "type": "customer",
            "attributes": {"n": place, "turn": number, "name": f"Customer {place}", "city": "Rotterdam"},
            "customFields": {"tier": 7 if place % BAD_EVERY == 0 else "gold"},
        }
        for place in range(first, first + size)
    ]
    return json.dumps({"metadata": METADATA, "records": sent}).encode()


def _look_around(client: Client, job: str, number: int, size: int) -> None:
    """What callers do meanwhile."""
    client.status(job)
    if number % 10 == 0:
        for _ in client.watch(job):
            pass
        for _ in client.results(job, "failed"):
            pass
        client.retry(job)
        client.lookup("customer", f"K{number % SLICES * size + 1:07d}")


def _compare(soak: Soak, samples: Sequence[Sample]) -> None:
    """After the warm-up (of a short run its first half) the first and the last sixth are set side by side."""
    soak.samples = len(samples)
    begins_at = samples[0].at + min(WARM_UP_SECONDS, (samples[-1].at - samples[0].at) / 2)
    warm = [sample for sample in samples if sample.at >= begins_at]
    width = max(len(warm) // 6, 1)
    first, last = warm[:width], warm[-width:]
    names = sorted({name for sample in warm for name in sample.rss})
    soak.restarted = [name for name in names if any(name not in sample.rss for sample in warm)]
    for name in names:
        if name not in soak.restarted:
            soak.rss_kilobytes[name] = _pair([one.rss[name] for one in first], [one.rss[name] for one in last])
            before, after = soak.rss_kilobytes[name]
            soak.rss_growth_percent[name] = round((after / before - 1) * 100, 2)
            soak.files[name] = _pair([one.files[name] for one in first], [one.files[name] for one in last])
    soak.valkey_keys = _pair([one.valkey_keys for one in first], [one.valkey_keys for one in last])
    soak.valkey_kilobytes = _pair([one.valkey_kilobytes for one in first], [one.valkey_kilobytes for one in last])
    soak.connections = _pair([one.connections for one in first], [one.connections for one in last])


def _pair(first: Sequence[float], last: Sequence[float]) -> tuple[float, float]:
    return statistics.median(first), statistics.median(last)
