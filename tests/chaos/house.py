"""A running house whose processes can be found by role and killed, with a hand outside that starts it again."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from tests.chaos.recovering import Struck
from tests.flows.house import ROOT, STOP_SECONDS, Credentials, House, _free_port, _wait_until_ready

# A supervisor never gives its start up, so this only ends a run that hangs.
START_SECONDS: Final = 600


@dataclass
class ChaosHouse:
    """`manage.py up` with embedded servers. It kills nothing but the processes below its own supervisor."""

    data_dir: Path
    environment: dict[str, str]
    log: Path
    process: "subprocess.Popen[bytes]"
    url: str = ""
    struck: list[Struck] = field(default_factory=list)

    @property
    def blows(self) -> dict[str, int]:
        """How many of each kind have fallen since `struck` was emptied."""
        return dict(Counter(blow.kind for blow in self.struck))

    def as_house(self) -> House:
        return House(self.process, self.url, self.data_dir, self.log, self.environment)

    def enrol(self, name: str) -> Credentials:
        return self.as_house().enrol(name)

    def database_url(self) -> str:
        from config.embedded import addresses

        return addresses(self.data_dir).database_url

    def redis_url(self) -> str:
        from config.embedded import addresses

        return addresses(self.data_dir).redis_url

    def processes(self, role: str) -> list[psutil.Process]:
        """The living processes of a role: worker parents, their work-horses, or what else its command line names."""
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.process.pid).children()
            if role == "horse":
                return [horse for parent in _named(children, "manage.py", "worker") for horse in _children(parent)]
            if role == "postgres":
                return _named(children, "postgres", "-D")
            if role == "valkey":
                return _named(children, "valkey-server")
            if role == "web":
                return [one for web in _named(children, "manage.py", "web") for one in (web, *_children(web))]
            return _named(children, "manage.py", {"parent": "worker"}.get(role, role))
        return []

    def kill(self, role: str, choice: float, number: signal.Signals = signal.SIGKILL) -> bool:
        """Kills one process of the role, chosen by `choice` in [0, 1); False where there is none.

        "both" is a worker with its work-horse; "workers" are all of them at once, while one is at work.
        """
        if role == "supervisor":
            self.note(role)
            os.kill(self.process.pid, number)
            self.process.wait()
            self.start_again()
            return True
        found = self.processes("parent" if role in ("both", "workers") else role)
        victims = found if role == "workers" else found[int(choice * len(found)) :][:1]
        if role in ("both", "workers"):
            horses = [horse for victim in victims for horse in _children(victim)]
            if role == "workers" and not horses:
                return False
            victims = [*victims, *horses]
        if not victims:
            return False
        self.note(role)
        for process in victims:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return True

    def start_again(self) -> None:
        """What the machine's init does for a supervisor that died."""
        self.process, self.url = _start(self.environment, self.log)

    def note(self, kind: str, *, since: float | None = None) -> None:
        """A blow falls now, or ends that began then."""
        now = time.time()
        self.struck.append(Struck(kind, now if since is None else since, now))


@contextmanager
def chaos_house(data_dir: Path, **environment: str) -> Iterator[ChaosHouse]:
    """Ready to answer; stopped in order at the end."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "MASTER_KEYS", "DATABASE_POOL", "MASTER_KEYS_FILE")
    }
    settings = {
        **inherited,
        "DATA_DIR": str(data_dir),
        "PORT": str(_free_port()),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'clients' / 'python' / 'src'}",
        "PYTHONUNBUFFERED": "1",
        **environment,
    }
    log = data_dir.parent / f"{data_dir.name}.log"
    process, url = _start(settings, log)
    house = ChaosHouse(data_dir, settings, log, process, url)
    try:
        yield house
    finally:
        if house.process.poll() is None:
            house.process.send_signal(signal.SIGINT)
        try:
            house.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            house.process.kill()
            house.process.wait()
            raise


def _start(settings: dict[str, str], log: Path) -> "tuple[subprocess.Popen[bytes], str]":
    """Ready at the first try: what a killed supervisor left behind is the new one's business."""
    part = log.with_suffix(".start")
    # A log of its own for each start, so that an older "ready" is not taken for this one's.
    with part.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "up"],
            env=settings,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        return process, _wait_until_ready(process, part, START_SECONDS)
    except AssertionError:
        process.kill()
        process.wait()
        raise
    finally:
        with log.open("ab") as whole:
            whole.write(part.read_bytes())


def _named(processes: list[psutil.Process], *words: str) -> list[psutil.Process]:
    return [process for process in processes if _is_named(process, words)]


def _is_named(process: psutil.Process, words: tuple[str, ...]) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        line = process.cmdline()
        return all(any(part.endswith(word) for part in line) for word in words)
    return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return process.children()
    return []
