"""Where the numbers were taken."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psycopg


def describe(database_url: str) -> str:
    """Two lines: the machine, and what runs on it."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT current_setting('server_version'), current_setting('fsync')").fetchone()
    assert row is not None
    postgres, fsync = row
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"load {load:.1f}\n"
        f"Python {platform.python_version()}, PostgreSQL {postgres} (fsync {fsync}), granian {version('granian')}, "
        f"rq {version('rq')}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
