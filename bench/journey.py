"""One import from its last byte on the wire to the commit of its last batch."""

import contextlib
import statistics
import threading
import time
from dataclasses import dataclass, field

import psutil
import psycopg

from bench.wire import Caller

_POLL_SECONDS = 0.005
_PATIENCE_SECONDS = 300.0
_STATUS_EVERY_SECONDS = 0.05


@dataclass(frozen=True)
class Journey:
    """Seconds to the 202, seconds from the 202 to completed, processor seconds of the house in all, and the latencies
    of status calls on the way."""

    accepted: float
    completed: float
    processor: float
    status: list[float] = field(default_factory=list)


def travel(
    caller: Caller, house: psutil.Process, database: "psycopg.Connection[tuple[object, ...]]", body: bytes, *, ask: bool
) -> Journey:
    """Push and wait; the end is seen in the database, so after its commit. With `ask` a caller asks all the time."""
    processor = processor_seconds(house)
    job_id, accepted = caller.push(body)
    began = time.perf_counter()
    latencies: list[float] = []
    stop = threading.Event()
    asking = threading.Thread(target=_ask, args=(caller, job_id, latencies, stop))
    if ask:
        asking.start()
    try:
        completed = _wait(database, job_id, began)
    finally:
        stop.set()
        if ask:
            asking.join()
    return Journey(accepted, completed, processor_seconds(house) - processor, latencies)


def processor_seconds(house: psutil.Process) -> float:
    """Of the supervisor and all below it, ended ones too. Unlike the clock it hardly minds who else computes."""
    seconds = 0.0
    for process in (house, *house.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def _wait(database: "psycopg.Connection[tuple[object, ...]]", job_id: str, began: float) -> float:
    while time.perf_counter() - began < _PATIENCE_SECONDS:
        row = database.execute(
            "SELECT status, total = created AND failed = 0 FROM imports_importjob WHERE uuid = %s", [job_id]
        ).fetchone()
        if row is not None and row[0] in ("completed", "failed"):
            seconds = time.perf_counter() - began
            if row != ("completed", True):
                raise RuntimeError(f"The import ended {row[0]}, and not every record of it was created.")
            return seconds
        time.sleep(_POLL_SECONDS)
    raise RuntimeError("The import did not end.")


def _ask(caller: Caller, job_id: str, latencies: list[float], stop: threading.Event) -> None:
    while not stop.wait(_STATUS_EVERY_SECONDS):
        latencies.append(caller.status(job_id)[1])


def median(values: list[float]) -> float:
    return statistics.median(values)
