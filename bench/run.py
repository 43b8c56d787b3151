"""All measurements, interleaved, and their table."""

from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
from django.conf import settings
from django.db import connection

from audit.context import Actor, acting_as
from bench.body import body as make_body
from bench.floor import IntakeFloor, StoreFloor
from bench.journey import Journey, median, travel
from bench.machine import describe
from bench.wire import Caller
from config.demo.house import open_house
from customers.enrolment import create_customer

INTAKE_RATIO = 5.0
RECORDS_PER_SECOND = 20_000
STORE_RATIO = 6.0


def run(folder: Path, *, repetitions: int, records: int) -> None:
    """Starts a house in its DATA_DIR, measures and prints. The first repetition warms up and is left out."""
    body = make_body(records)
    print(f"{records:,} records, {len(body):,} bytes, {len(body) / records:.0f} a record; {repetitions} repetitions")
    with open_house(folder) as house:
        url = settings.DATABASE_URL
        print(describe(url))
        with acting_as(Actor("command", "bench")):
            _, key = create_customer("Bench")
        address = urlsplit(house.url)
        caller = Caller(address.hostname or "", address.port or 0, key.key_id, key.secret)
        assert house.up is not None
        processes = psutil.Process(house.up.pid)
        intake, store = IntakeFloor(url), StoreFloor(url)
        with psycopg.connect(url, autocommit=True) as database:
            journeys, intakes, stores = [], [], []
            for repetition in range(repetitions + 1):
                empty(database)
                intake_floor = intake.measure(body)
                empty(database)
                journey = travel(caller, processes, database, body, ask=False)
                store_floor = store.measure()
                if repetition:
                    journeys.append(journey)
                    intakes.append(intake_floor)
                    stores.append(store_floor)
                    _print_repetition(repetition, journey, intake_floor, store_floor, records)
            empty(database)
            asked = travel(caller, processes, database, body, ask=True)
        connection.close()
        _print_table(journeys, intakes, stores, asked, records, store.facts())


def empty(database: "psycopg.Connection[tuple[object, ...]]") -> None:
    """Every repetition meets the same empty tables."""
    database.execute("TRUNCATE imports_record, imports_batchattempt, imports_importjob CASCADE")


def _print_repetition(number: int, journey: Journey, intake_floor: float, store_floor: float, records: int) -> None:
    print(
        f"  {number}: 202 after {journey.accepted * 1000:.0f} ms (floor {intake_floor * 1000:.0f} ms), "
        f"completed after {journey.completed:.2f} s = {records / journey.completed:,.0f}/s "
        f"(floor {store_floor:.2f} s)"
    )


def _print_table(
    journeys: list[Journey],
    intakes: list[float],
    stores: list[float],
    asked: Journey,
    records: int,
    facts: dict[str, int],
) -> None:
    accepted, completed = median([j.accepted for j in journeys]), median([j.completed for j in journeys])
    intake_ratio = median([j.accepted / floor for j, floor in zip(journeys, intakes, strict=True)])
    store_ratio = median([j.completed / floor for j, floor in zip(journeys, stores, strict=True)])
    rate = records / completed
    processor = median([j.processor for j in journeys])
    rows = [
        ("last byte to 202", f"{accepted * 1000:,.0f} ms", "", ""),
        ("  SHA-256, split, zstd, encrypt, COPY", f"{median(intakes) * 1000:,.0f} ms", "", ""),
        ("  ratio", f"{intake_ratio:.2f}", f"at most {INTAKE_RATIO:g}", _verdict(intake_ratio <= INTAKE_RATIO)),
        ("202 to completed, two workers", f"{completed:.2f} s", "", ""),
        (
            "  records a second",
            f"{rate:,.0f}",
            f"at least {RECORDS_PER_SECOND:,}",
            _verdict(rate >= RECORDS_PER_SECOND),
        ),
        ("  processor time of all processes", f"{processor / records * 1e6:.0f} us a record", "", ""),
        ("  bare binary COPY of the stored rows", f"{median(stores):.2f} s", "", ""),
        ("  ratio", f"{store_ratio:.2f}", f"at most {STORE_RATIO:g}", _verdict(store_ratio <= STORE_RATIO)),
        *_latencies(asked.status),
    ]
    print()
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for name, value, target, verdict in rows:
        print(f"{name:<{widths[0]}}  {value:>{widths[1]}}  {target:<{widths[2]}}  {verdict}".rstrip())
    print(
        f"\nStored: {facts['rows']:,} rows, {facts['table_bytes'] / 1e6:,.0f} MB and "
        f"{facts['index_bytes'] / 1e6:,.0f} MB of indexes. Medians of the repetitions; ratios are medians of each "
        "repetition's own ratio."
    )


def _latencies(seconds: list[float]) -> list[tuple[str, str, str, str]]:
    if not seconds:
        return []
    ordered = sorted(seconds)
    picked = {"median": 0.5, "95 %": 0.95, "worst": 1.0}
    return [
        (f"status while importing, {name} of {len(ordered)}", f"{ordered[_at(share, ordered)] * 1000:,.1f} ms", "", "")
        for name, share in picked.items()
    ]


def _at(share: float, ordered: list[float]) -> int:
    return min(int(share * len(ordered)), len(ordered) - 1)


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "missed"
