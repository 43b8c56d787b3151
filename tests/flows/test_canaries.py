"""Nothing that a caller confides stands anywhere in plain text: not in a dump, in Valkey, in a log or on the disk."""

import gzip
import json
import re
import secrets
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
import pytest
import redis
import zstandard
from websockets.sync.client import connect

from config import embedded
from config.embedded.binaries import postgres_directory
from tests.flows.foreign import call
from tests.flows.house import Credentials, House, running_house

RECORDS = 250


@dataclass(frozen=True)
class Shown:
    """What came out where no record may be read: frames of the socket, pages of the admin, answers of commands."""

    frames: list[bytes]
    pages: list[bytes]
    said: list[bytes]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, shown: Shown) -> Iterator[tuple[House, list[bytes]]]:
    """A house that took in 1,000 canaries, some in records that fail, and answered questions about them."""
    with running_house(tmp_path_factory.mktemp("canaries") / "data", LOG_LEVEL="DEBUG") as house:
        credentials = house.enrol("Canary")
        canaries = [f"canary{secrets.token_hex(8)}" for _ in range(4 * RECORDS)]
        records = [_record(index, *canaries[index * 4 : index * 4 + 4]) for index in range(RECORDS)]
        body = json.dumps(
            {"metadata": {"source": "crm", "version": "1", "timestamp": "2024-03-15T00:00:00Z"}, "records": records}
        ).encode()
        _use_everything(house, credentials, body, records)
        _look_at_everything(house, credentials, records, shown)
        yield house, [canary.encode() for canary in [*canaries, credentials.secret]]


@pytest.fixture(scope="module")
def shown() -> Shown:
    """Filled while `planted` is made."""
    return Shown([], [], [])


def _record(index: int, name: str, mail: str, external_id: str, custom: str) -> dict[str, object]:
    record: dict[str, object] = {
        "id": external_id,
        "type": "customer",
        "attributes": {"name": name, "mail": f"{mail}@example.com"},
        "customFields": {"note": custom, custom: "named by a canary"},
    }
    broken = index % 10
    if broken == 1:
        record["type"] = custom
    elif broken == 2:
        record["customFields"] = {custom: 7}
    elif broken == 3:
        record[name] = mail
    elif broken == 4:
        record["customFields"] = {"note": custom * 100}
    return record


def _use_everything(house: House, credentials: Credentials, body: bytes, records: list[dict[str, object]]) -> None:
    def ask(method: str, target: str, content: bytes = b"", **headers: str) -> bytes:
        answer = call(house.url, credentials.key_id, credentials.secret, method, target, body=content, headers=headers)
        assert answer.status < 500, answer
        return answer.body

    job = json.loads(ask("POST", "/api/v1/imports/bulk", body, **{"Idempotency-Key": "once"}))["jobId"]
    with house.client(credentials) as client:
        *_, last = client.watch(job)
        assert last.failed == 100
    ask("POST", "/api/v1/imports/validate", body)
    ask("POST", "/api/v1/imports/bulk", body[:-2])
    ask("POST", "/api/v1/imports/bulk", body.replace(b'"records"', b'"recordz"'))
    ask("GET", f"/api/v1/imports/{job}")
    for selection in ("succeeded", "failed"):
        assert str(records[5 if selection == "succeeded" else 1]["id"]).encode() in ask(
            "GET", f"/api/v1/imports/{job}/results/{selection}"
        )
    for record in records[:20]:
        ask("POST", "/api/v1/records/lookup", json.dumps({"type": "customer", "id": record["id"]}).encode())
    wrong = Credentials(credentials.customer, credentials.key_id, "lsk_" + "A" * 43)
    assert call(house.url, wrong.key_id, wrong.secret, "POST", "/api/v1/imports/bulk", body=body).status == 401


def _look_at_everything(house: House, credentials: Credentials, records: list[dict[str, object]], shown: Shown) -> None:
    """As support and operators do; one person is exported and another erased on the way."""

    def ask(method: str, target: str, content: bytes = b"") -> bytes:
        return call(house.url, credentials.key_id, credentials.secret, method, target, body=content).body

    job = json.loads(ask("GET", "/api/v1/imports"))["imports"][0]["jobId"]
    given = json.loads(ask("POST", f"/api/v1/imports/{job}/socket-ticket"))["url"]
    with connect(given) as socket:
        shown.frames.append(str(socket.recv(timeout=20)).encode())
    password = re.findall(r"password\s+(\S+)", house.manage("create_admin"))[0]
    with httpx2.Client(base_url=house.url, follow_redirects=True) as browser:
        form = {"csrfmiddlewaretoken": _token(browser.get("/admin/login/").text), "username": "admin"}
        browser.post("/admin/login/", data={**form, "password": password}, headers={"Referer": house.url})
        for name in ("importjob", "importbatch", "record", "failedrecord"):
            listed = browser.get(f"/admin/imports/{name}/").text
            shown.pages.append(listed.encode())
            rows = re.findall(rf"/admin/imports/{name}/(\d+)/change/", listed)
            assert rows, name
            shown.pages.extend(
                browser.get(f"/admin/imports/{name}/{row}/change/").content for row in sorted(set(rows))[:30]
            )
    slug, kept, gone = credentials.customer, str(records[0]["id"]), str(records[6]["id"])
    shown.said.extend(
        answer.encode()
        for answer in (
            house.manage("personal_data", "find", slug, kept),
            house.manage("show_record", slug, "customer", kept),
            house.manage("personal_data", "erase", slug, gone, "--yes"),
        )
    )
    assert kept in house.manage("personal_data", "export", slug, kept)
    assert kept in house.manage("show_record", slug, "customer", kept, "--reveal", "--reason", "test")
    assert house.manage("personal_data", "find", slug, gone).split()[0] == "0"
    export = json.dumps({"id": kept, "types": ["customer"]}).encode()
    assert kept.encode() in ask("POST", "/api/v1/records/export", export)


def _token(page: str) -> str:
    return str(re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[0])


def _found(haystack: bytes, canaries: list[bytes]) -> list[bytes]:
    if b"canary" not in haystack and b"lsk_" not in haystack:
        return []
    seen = set(re.findall(rb"canary[0-9a-f]{16}|lsk_[A-Za-z0-9_-]{43}", haystack))
    return [canary for canary in canaries if canary in seen]


def test_the_search_would_find_a_canary(planted: tuple[House, list[bytes]]) -> None:
    _, canaries = planted
    assert len(canaries) == 1001
    assert _found(b"\0 " + canaries[7] + b"@example.com " + canaries[-1], canaries) == [canaries[7], canaries[-1]]


@pytest.mark.parametrize("what", ["frames", "pages", "said"])
def test_nobody_is_shown_a_canary_who_does_not_ask_for_records(
    planted: tuple[House, list[bytes]], shown: Shown, what: str
) -> None:
    seen = getattr(shown, what)
    assert len(seen) >= {"frames": 1, "pages": 50, "said": 3}[what]
    assert [_found(content, planted[1]) for content in seen if _found(content, planted[1])] == []


def test_the_pages_show_records_masked(planted: tuple[House, list[bytes]], shown: Shown) -> None:
    assert sum(b"&quot;attributes&quot;" in page for page in shown.pages) > 30


def test_a_database_dump_holds_no_canary(planted: tuple[House, list[bytes]]) -> None:
    house, canaries = planted
    dump = subprocess.run(
        [postgres_directory() / "pg_dump", embedded.addresses(house.data_dir).database_url],
        capture_output=True,
        check=True,
        timeout=120,
    ).stdout
    assert b"imports_record" in dump
    assert _found(dump, canaries) == []


def test_the_memory_of_valkey_holds_no_canary(planted: tuple[House, list[bytes]]) -> None:
    house, canaries = planted
    with redis.Redis.from_url(embedded.addresses(house.data_dir).redis_url) as client:
        pid = int(client.info("server")["process_id"])
    assert _found(_memory(pid), canaries) == []


def _memory(pid: int) -> bytes:
    """Every writable page of the process."""
    pages = []
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            if rights.startswith("rw"):
                start, end = (int(edge, 16) for edge in span.split("-"))
                memory.seek(start)
                pages.append(memory.read(end - start))
    return b"".join(pages)


def test_the_logs_hold_no_canary(planted: tuple[House, list[bytes]]) -> None:
    house, canaries = planted
    log = house.log.read_bytes()
    assert b"ready" in log
    assert _found(log, canaries) == []


def test_no_process_names_a_secret_in_its_command_line_or_environment(planted: tuple[House, list[bytes]]) -> None:
    house, canaries = planted
    for process in [psutil.Process(house.process.pid), *psutil.Process(house.process.pid).children(recursive=True)]:
        for part in ("cmdline", "environ"):
            assert _found(Path(f"/proc/{process.pid}/{part}").read_bytes(), canaries) == []


def test_the_data_directory_holds_no_canary(planted: tuple[House, list[bytes]]) -> None:
    house, canaries = planted
    seen = {}
    for path in house.data_dir.rglob("*"):
        with suppress(OSError):  # gone since, a directory, or a socket
            seen[path] = _found(_plain(path.read_bytes()), canaries)
    assert any("pg_wal" in path.parts for path in seen)
    assert {path: found for path, found in seen.items() if found} == {}


def _plain(content: bytes) -> bytes:
    """The file, and after it what is compressed in it: as a whole or anywhere inside."""
    plain = [content]
    if content[:2] == b"\x1f\x8b":
        plain.append(gzip.decompress(content))
    for start in (match.start() for match in re.finditer(rb"\x28\xb5\x2f\xfd", content)):
        try:
            plain.append(zstandard.ZstdDecompressor().decompressobj().decompress(content[start:]))
        except zstandard.ZstdError:
            continue
    for start in (match.start() for match in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", content)):
        try:
            plain.append(zlib.decompressobj().decompress(content[start:], 1024 * 1024))
        except zlib.error:
            continue
    return b"".join(plain)
