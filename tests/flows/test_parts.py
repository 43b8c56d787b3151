"""A file too large for one body: split, sent, cut off, resumed and stored as one import."""

import contextlib
import csv
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from longshore import Client, FixFile, FixRequest, LongshoreError, TryLater

from tests.flows.house import Credentials, House

METADATA = {"source": "crm", "version": "1.0.0", "timestamp": "2024-03-15T00:00:00Z"}
SPLIT_OVER, PART_BYTES = 0, 20_000


@pytest.fixture(scope="module")
def credentials(house: House) -> Credentials:
    return house.enrol("Parts")


def record(number: int, prefix: str) -> dict[str, object]:
    return {"id": f"{prefix}-{number % 380}", "type": "customer", "attributes": {"name": f"name {number}", "n": number}}


def write_export(folder: Path, form: str, prefix: str) -> Path:
    """400 records, of which the last 20 replace the first, as a file of about 30 kB."""
    path = folder / f"{prefix}.{form}"
    items = [record(number, prefix) for number in range(400)]
    if form == "json":
        path.write_text(json.dumps({"metadata": METADATA, "records": items}, indent=2))
    elif form == "ndjson":
        path.write_text("\n".join(json.dumps(item) for item in items))
    else:
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "type", "name", "n"])
            writer.writerows([item["id"], "customer", f"name {number}", number] for number, item in enumerate(items))
    return path


@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
def test_a_file_in_parts_becomes_one_import(house: House, credentials: Credentials, tmp_path: Path, form: str) -> None:
    path = write_export(tmp_path, form, f"whole-{form}")
    with house.client(credentials) as client:
        accepted = client.push(path, split_over=0, part_bytes=6_000)
        assert accepted.parts > 2
        *_, last = client.watch(accepted.job_id)
        status = client.status(accepted.job_id)
        assert (last.status, last.total) == ("completed", 400)
        assert sum(status["outcomes"].values()) + status["progress"]["failed"] == 400
        assert [line["index"] for line in client.results(accepted.job_id, "succeeded")] == list(range(400))
        found = client.lookup("customer", f"whole-{form}-0")
        assert found["record"]["attributes"]["name"] == "name 380"


class Relay:
    """Passes bytes on to the house until so many have gone up; then it cuts every line and takes no more."""

    def __init__(self, url: str, most: int) -> None:
        parts = urlsplit(url)
        self._target = (str(parts.hostname), int(parts.port or 80))
        self._left = most
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._open += [caller, server]
                threading.Thread(target=self._up, args=(caller, server), daemon=True).start()
                threading.Thread(target=self._down, args=(server, caller), daemon=True).start()

    def _up(self, caller: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := caller.recv(1_000):
                with self._lock:
                    self._left -= len(data)
                    is_over = self._left < 0
                if is_over:
                    self.cut()
                    return
                server.sendall(data)

    def _down(self, server: socket.socket, caller: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65_536):
                caller.sendall(data)

    def cut(self) -> None:
        for end in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def cut_after(house: House, most: int) -> Iterator[Relay]:
    relay = Relay(house.url, most)
    try:
        yield relay
    finally:
        relay.cut()


def test_a_push_cut_in_the_middle_of_a_part_is_resumed(house: House, credentials: Credentials, tmp_path: Path) -> None:
    path = write_export(tmp_path, "json", "cut")
    with (
        cut_after(house, 40_000) as relay,
        Client(relay.url, credentials.key_id, credentials.secret, timeout=2) as client,
        pytest.raises(TryLater) as failed,
    ):
        client.push(path, split_over=0, part_bytes=15_000)
    job = str(failed.value.job_id)
    with house.client(credentials) as client:
        assert client.status(job)["statusReason"] == "open"
        arrived = client.status(job)["progress"]["total"]
        assert 0 < arrived < 400
        with pytest.raises(FixFile) as other:
            client.push(path, resume=job, part_bytes=14_000)
        assert other.value.code == "parts_differ"
        accepted = client.push(path, resume=job, part_bytes=15_000)
        assert accepted.job_id == job
        *_, last = client.watch(job)
        assert (last.status, last.total) == ("completed", 400)
        assert client.push(path, resume=job, part_bytes=15_000).job_id == job
        assert client.status(job)["progress"]["total"] == 400


@pytest.mark.parametrize("split_over", [SPLIT_OVER, 1_000_000])
def test_the_server_reads_the_retry_policy_of_a_push(
    house: House, credentials: Credentials, tmp_path: Path, split_over: int
) -> None:
    path = write_export(tmp_path, "json", "policy")
    with house.client(credentials) as client:
        with pytest.raises(FixRequest) as refused:
            client.push(path, split_over=split_over, retry_tries=21)
        assert refused.value.code == "invalid_parameter"
        assert client.push(path, split_over=split_over, retry_tries=20, retry_base_seconds=1).job_id


def test_the_same_idempotency_key_resumes_too(house: House, credentials: Credentials, tmp_path: Path) -> None:
    path = write_export(tmp_path, "ndjson", "again")
    with house.client(credentials) as client:
        first = client.push(path, idempotency_key="again-1", split_over=SPLIT_OVER, part_bytes=PART_BYTES)
        second = client.push(path, idempotency_key="again-1", split_over=SPLIT_OVER, part_bytes=PART_BYTES)
        assert first.job_id == second.job_id
        *_, last = client.watch(first.job_id)
        assert (last.status, last.total) == ("completed", 400)


def test_a_cancelled_import_is_not_resumed(house: House, credentials: Credentials, tmp_path: Path) -> None:
    path = write_export(tmp_path, "csv", "gone")
    broken = tmp_path / "gone-2.csv"
    broken.write_bytes(path.read_bytes() + b'Z,customer,"never closed\n')
    with house.client(credentials) as client:
        with pytest.raises(LongshoreError) as failed:
            client.push(broken, split_over=SPLIT_OVER, part_bytes=PART_BYTES)
        job = str(failed.value.job_id)
        assert client.cancel(job)["statusReason"] == "cancelled"
        with pytest.raises(FixRequest) as refused:
            client.push(path, resume=job, split_over=SPLIT_OVER, part_bytes=PART_BYTES)
        assert refused.value.code == "wrong_state"


def test_the_command_splits_resumes_and_says_how(house: House, credentials: Credentials, tmp_path: Path) -> None:
    path = write_export(tmp_path, "json", "command")
    options = ("--split-over", "10000", "--part-size", "15000")
    broken = tmp_path / "broken.json"
    broken.write_bytes(path.read_bytes()[:-30])
    failed = house.longshore(credentials, "push", str(broken), *options)
    assert failed.returncode == 2
    resume = next(line for line in failed.stderr.splitlines() if "--resume" in line).split()
    job = resume[resume.index("--resume") + 1]
    broken.write_bytes(path.read_bytes())
    done = house.longshore(credentials, "push", str(broken), *options, "--resume", job, "--watch")
    assert done.returncode == 0, done.stderr
    assert "parts)" in done.stdout
    assert job in done.stdout
