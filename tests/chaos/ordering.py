"""Older and newer imports of the same records, their workers stopped, continued and killed: the newest one stands."""

import json
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Final

import psutil

from tests.chaos.blows import Database, strike, wait_until
from tests.chaos.house import ChaosHouse
from tests.chaos.importing import METADATA, push, read_back
from tests.chaos.report import Report

END_SECONDS: Final = 180.0
KILL_CHANCE: Final = 0.2
MOST_ROUNDS: Final = 12


@dataclass
class Order(Report):
    """`stale` counts records whose content is not that of the newest import they were in.

    `superseded` counts records of older imports that met a newer one: without any, no worker came at the wrong moment.
    """

    keys: int = 0
    rounds: int = 0
    imports: int = 0
    stops: int = 0
    blows: dict[str, int] = field(default_factory=dict)
    superseded: int = 0
    stale: int = -1
    lost: int = -1
    unfinished: int = -1
    unequal_accounts: int = -1

    def faults(self) -> list[str]:
        found = ["no older import met a newer one"] * (self.superseded == 0)
        for name in ("stale", "lost", "unfinished", "unequal_accounts"):
            found += [f"{getattr(self, name)} {name}"] * (getattr(self, name) != 0)
        return found


def run_order(house: ChaosHouse, *, seed: int, keys: int, rounds: int, size: int = 0, newer: int = 3) -> Order:
    """Each round pushes a first import of all keys and `newer` ones after it, all under way at once.

    The last has every other key with the content that stood before the round, so that it changes nothing there.
    Whether a worker is stopped and an older import meets a newer one is up to chance: as long as it did not happen
    there are more rounds, at most MOST_ROUNDS.
    """
    chance, report = random.Random(seed), Order(seed, keys)
    who = house.enrol(f"Order {seed}")
    house.struck.clear()
    database = Database(house)
    of_customer = f"customer_id = (SELECT id FROM customers_customer WHERE slug = '{who.customer}')"
    unfinished = f"SELECT count(*) FROM imports_importjob WHERE finished_at IS NULL AND {of_customer}"
    overtaken = f"SELECT sum(superseded) FROM imports_importjob WHERE {of_customer}"
    expected: dict[int, int] = {}
    version = 0
    while report.rounds < rounds or (report.rounds < MOST_ROUNDS and not (report.stops and database.number(overtaken))):
        report.rounds += 1
        before = dict(expected)
        over = Event()
        troubler = Thread(target=_trouble, args=(house, random.Random(chance.random()), over, report))
        troubler.start()
        try:
            for place in range(newer + 1):
                version += 1
                chosen = range(keys) if place == 0 else [key for key in range(keys) if chance.random() < 0.7]
                is_last = place == newer
                sent = {key: before.get(key, version) if is_last and key % 2 else version for key in chosen}
                push(house, who, _document(sent, size))
                report.imports += 1
                expected.update(sent)
            wait_until(lambda: database.number(unfinished) == 0, END_SECONDS, step=0.05)
        finally:
            over.set()
            troubler.join()
    database.close()
    found = read_back(house, who)
    stored = dict(found["versions"])
    report.blows = house.blows
    report.superseded = found["superseded"]
    report.stale = sum(stored[key] != version for key, version in expected.items() if key in stored)
    report.lost = len(expected) - found["distinct"] + found["wrong"] + found["gaps"]
    report.unfinished, report.unequal_accounts = found["unfinished"], found["unequal"]
    return report


def _trouble(house: ChaosHouse, chance: random.Random, over: Event, report: Order) -> None:
    """Stops a work-horse for a while, so that what comes later overtakes it; now and then it is killed instead."""
    while not over.is_set():
        if chance.random() < KILL_CHANCE and house.processes("horse"):
            strike(house, chance.choice(["horse", "both"]), chance)
        for horse in house.processes("horse")[:1]:
            with suppress(psutil.NoSuchProcess):
                horse.suspend()
                report.stops += 1
                over.wait(chance.uniform(0.05, 1.5))
                horse.resume()
        time.sleep(chance.uniform(0.0, 0.1))


def _document(sent: dict[int, int], size: int) -> bytes:
    filling = "x" * size
    records = ",".join(
        f'{{"id":"K{key:07d}","type":"customer","attributes":{{"n":{key},"version":{version},"v":"{filling}"}}}}'
        for key, version in sent.items()
    )
    return f'{{"metadata":{json.dumps(METADATA)},"records":[{records}]}}'.encode()
