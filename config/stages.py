"""The processes of one Longshore host, in the order they start. They stop in the reverse order."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from config.processes import ProcessSpec

_MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
# Who starts these has checked the settings, which would take a quarter of the time until a worker is at work again.
_CHECKED = "--skip-checks"


def stages(servers: Sequence[ProcessSpec], *, data_dir: Path, workers: int) -> list[list[ProcessSpec]]:
    """PostgreSQL, Valkey, the migrations to their end, the sweeper, the workers, the web."""
    return [
        *([server] for server in servers),
        [_command("migrate", data_dir, arguments=("migrate", "--noinput", "--verbosity=0"), once=True)],
        [_command("sweeper", data_dir, arguments=("sweeper", _CHECKED))],
        [_command(f"worker-{number}", data_dir, arguments=("worker", _CHECKED)) for number in range(1, workers + 1)],
        [_command("web", data_dir, arguments=("web", _CHECKED))],
    ]


def _command(name: str, data_dir: Path, *, arguments: Sequence[str], once: bool = False) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        command=[sys.executable, str(_MANAGE), *arguments],
        environment={**os.environ, "DATA_DIR": str(data_dir), "PYTHONUNBUFFERED": "1"},
        once=once,
        waits_for=lambda _pid: f"{name} is under way",
    )
