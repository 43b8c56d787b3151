"""The long run: thousands of hostile inputs against a house. Prints its seed and figures; the exit status says whether
it was clean: no answer of 500 or more, no process dead, every record of every import accounted for."""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg

from tests.flows.foreign import call
from tests.flows.house import Credentials, House, running_house
from tests.hostile.bodies import BodyCase, body_cases, document, lines
from tests.hostile.commands import QUERIES, small_bodies
from tests.hostile.judging import faults_of
from tests.hostile.records import MARK, RecordCase, record_cases

JSON: Final = "application/vnd.bigcorp.v1+json"
NDJSON: Final = "application/vnd.bigcorp.v1+ndjson"
# Their quotas together are more than one machine can be sent.
CUSTOMERS: Final = 4
THREADS: Final = 4
LARGE_BYTES: Final = 200_000
END_SECONDS: Final = 120.0


@dataclass(frozen=True)
class Input:
    method: str
    target: str
    body: bytes = b""
    content_type: str | None = None
    encoding: str = ""


@dataclass
class Figures:
    seed: int
    inputs: int
    statuses: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    first_faults: list[str] = field(default_factory=list)
    processes_died: int = -1
    attempts: int = 0
    attempts_not_done: int = -1
    imports: int = 0
    imports_unaccounted: int = -1
    quoted_in_logs: int = -1
    seconds: float = 0.0

    @property
    def is_clean(self) -> bool:
        ends = (self.processes_died, self.attempts_not_done, self.imports_unaccounted, self.quoted_in_logs)
        return not self.faults and ends == (0, 0, 0, 0)


class Corpus:
    """Inputs out of the named cases, each broken further at random; the same for the same seed and number."""

    def __init__(self) -> None:
        self.records: list[RecordCase] = [case for case in record_cases() if len(case.raw) < LARGE_BYTES]
        self.bodies: list[BodyCase] = [
            case for case in body_cases() if len(case.body) < LARGE_BYTES and case.status != 413
        ]
        members = ("type", "id", "filter", "sample", "perSecond", "preview", "overlapHours", "parts", "digest")
        self.small = [*small_bodies(*members)]

    def input(self, seed: int, number: int) -> Input:
        chance = random.Random(f"{seed} {number}")
        makers: list[Callable[[random.Random], Input]] = [self._records, self._body, self._command, self._query]
        return chance.choices(makers, [5, 3, 2, 1])[0](chance)

    def _records(self, chance: random.Random) -> Input:
        raws = [case.raw for case in chance.sample(self.records, chance.randrange(1, 20))]
        if chance.random() < 0.3:
            return Input("POST", self._intake(chance), broken(lines(*raws), chance), NDJSON)
        chosen = [broken(raw, chance) if chance.random() < 0.2 else raw for raw in raws]
        return Input("POST", self._intake(chance), document(b",".join(chosen)))

    def _body(self, chance: random.Random) -> Input:
        case = chance.choice(self.bodies)
        target = self._intake(chance) + (f"?{case.query}" if case.query else "")
        return Input("POST", target, broken(case.body, chance), case.media_type, case.encoding)

    def _command(self, chance: random.Random) -> Input:
        target = chance.choice(
            (
                "records/lookup",
                "redrives",
                f"imports/{unknown()}/close",
                f"imports/{unknown()}/commit",
                f"failed-records/{unknown()}-0/edit",
            )
        )
        return Input("POST", f"/api/v1/{target}", broken(chance.choice(self.small), chance))

    def _query(self, chance: random.Random) -> Input:
        path = chance.choice(("imports", "failed-records", "limits", "redrives", f"imports/{unknown()}", "nowhere"))
        return Input(
            chance.choice(("GET", "GET", "HEAD", "OPTIONS", "DELETE")), f"/api/v1/{path}?{chance.choice(QUERIES)}"
        )

    @staticmethod
    def _intake(chance: random.Random) -> str:
        return f"/api/v1/imports{chance.choice(('/bulk', '/validate', '/validate', ''))}"


def unknown() -> str:
    return "3f2b8c1e-0000-4000-8000-000000000001"


def broken(body: bytes, chance: random.Random) -> bytes:
    """Some bytes cut, doubled, moved or put in; now and then none at all."""
    text = bytearray(body)
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        if not text:
            break
        at, length = chance.randrange(len(text)), chance.choice((1, 1, 2, 8, 100))
        match chance.randrange(4):
            case 0:
                del text[at : at + length]
            case 1:
                text[at:at] = text[at : at + length]
            case 2:
                text[at:at] = chance.choice(
                    (b'"', b"\\", b"{", b"]", b",", b"\0", b"\xff", b"\\u0000", b"\\ud800", b"1e9")
                )
            case _:
                text[at] = chance.randrange(256)
    return bytes(text)


def run(house: House, *, inputs: int, seed: int) -> Figures:
    figures, corpus = Figures(seed, inputs), Corpus()
    callers = [house.enrol(f"Hostile {number}") for number in range(CUSTOMERS)]
    before, began = processes(house), time.monotonic()
    statuses: Counter[str] = Counter()
    faults: Counter[str] = Counter()

    def one(number: int) -> None:
        sent = corpus.input(seed, number)
        try:
            answer = send(house, callers[number % CUSTOMERS], sent)
            found = faults_of(answer, has_body=sent.method != "HEAD")
            statuses[str(answer.status)] += 1
        except Exception as err:  # noqa: BLE001 - a caller who gets no answer is what this run looks for
            found = [f"no answer: {type(err).__name__}"]
        if found:
            faults.update(found)
            figures.first_faults.append(f"{number}: {sent.method} {sent.target[:80]}: {found[0]}")

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(one, range(inputs)))
    figures.statuses, figures.faults = dict(sorted(statuses.items())), dict(faults)
    figures.first_faults = sorted(figures.first_faults)[:20]
    account(house, figures)
    figures.processes_died = len(before - processes(house))
    figures.quoted_in_logs = house.log.read_text(errors="replace").count(MARK)
    figures.seconds = round(time.monotonic() - began, 1)
    return figures


def send(house: House, who: Credentials, sent: Input) -> Any:
    headers = {"Content-Encoding": sent.encoding} if sent.encoding else {}
    return call(
        house.url, who.key_id, who.secret, sent.method, sent.target,
        body=sent.body, content_type=sent.content_type, headers=headers,
    )  # fmt: skip


def account(house: House, figures: Figures) -> None:
    """Waits for the last import, then reads how every batch and every import ended."""
    from config import embedded

    deadline = time.monotonic() + END_SECONDS
    unfinished = "SELECT count(*) FROM imports_importjob WHERE finished_at IS NULL AND open_until IS NULL"
    with psycopg.connect(embedded.addresses(house.data_dir).database_url, autocommit=True) as session:

        def number(query: str) -> int:
            row = session.execute(query.encode()).fetchone()
            return int(row[0]) if row else 0

        while number(unfinished) and time.monotonic() < deadline:
            time.sleep(0.2)
        figures.attempts = number("SELECT count(*) FROM imports_batchattempt")
        figures.attempts_not_done = number("SELECT count(*) FROM imports_batchattempt WHERE \"end\" <> 'done'")
        figures.imports = number("SELECT count(*) FROM imports_importjob")
        figures.imports_unaccounted = number(
            "SELECT count(*) FROM imports_importjob WHERE open_until IS NULL AND (finished_at IS NULL "
            "OR total <> created + updated + unchanged + superseded + failed + unprocessed)"
        )


def processes(house: House) -> set[int]:
    """The supervisor's children and the web's own; a worker's work-horses come and go."""
    children = psutil.Process(house.process.pid).children()
    web = [child for child in children if "web" in child.cmdline()]
    return {process.pid for process in [*children, *(worker for parent in web for worker in parent.children())]}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    with (
        tempfile.TemporaryDirectory(prefix="longshore-hostile-") as folder,
        running_house(Path(folder) / "data", WORKERS="1", WEB="1") as house,
    ):
        figures = run(house, inputs=options.inputs, seed=options.seed)
    print(json.dumps(asdict(figures)))
    print("clean" if figures.is_clean else "NOT CLEAN")
    return 0 if figures.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
