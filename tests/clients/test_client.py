"""The importable client, one method after the other."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from longshore import Accepted, CheckId, Client, FixFile, TryLater

from tests.clients.loopback import JOB, FakeServer, Reply, Seen, problem

API = "/api/v1"
STATUS = f"{API}/imports/{JOB}"
ACCEPTED = Reply(202, {"jobId": JOB, "status": "pending", "links": {}})


class TestPush:
    def test_sends_the_file_with_its_type_and_length(self, server: FakeServer, client: Client, tmp_path: Path) -> None:
        server.on("POST", f"{API}/imports/bulk", ACCEPTED)
        path = tmp_path / "crm.json"
        path.write_bytes(b'{"metadata":{},"records":[]}')
        accepted = client.push(path, idempotency_key="monday")
        (seen,) = server.seen
        assert (accepted.job_id, accepted.idempotency_key, accepted.size) == (JOB, "monday", 28)
        assert seen.headers["content-type"] == "application/vnd.bigcorp.v1+json"
        assert seen.headers["content-length"] == "28"
        assert "transfer-encoding" not in seen.headers
        assert seen.body == path.read_bytes()

    def test_sends_csv_metadata_in_the_query(self, server: FakeServer, client: Client) -> None:
        server.on("POST", f"{API}/imports/bulk", ACCEPTED)
        client.push(b"id\n1\n", format="csv", type="order", source="a b", timestamp="2024-03-15T00:00:00Z")
        query = "source=a+b&version=1.0.0&timestamp=2024-03-15T00%3A00%3A00Z&type=order"
        assert server.seen[0].target == f"{API}/imports/bulk?{query}"

    def test_says_gzip_where_it_packs(self, server: FakeServer, client: Client) -> None:
        server.on("POST", f"{API}/imports/bulk", ACCEPTED)
        client.push(b'{"metadata":{},"records":[]}', format="json", gzip=True)
        assert server.seen[0].headers["content-encoding"] == "gzip"

    def test_tells_how_far_it_is(self, server: FakeServer, client: Client, tmp_path: Path) -> None:
        server.on("POST", f"{API}/imports/bulk", ACCEPTED)
        path = tmp_path / "crm.json"
        path.write_bytes(b'{"metadata":{},"records":[]}'.ljust(600_000))
        told: list[tuple[str, int, int | None]] = []
        client.push(path, on_bytes=lambda *step: told.append(step))
        assert told[0][0] == "reading"
        assert told[-1] == ("sending", 600_000, 600_000)

    def test_a_file_that_changes_while_it_is_sent_is_not_accepted(
        self, server: FakeServer, client: Client, tmp_path: Path
    ) -> None:
        server.on("POST", f"{API}/imports/bulk", ACCEPTED)
        path = tmp_path / "crm.json"
        path.write_bytes(b'{"metadata":{},"records":[]}'.ljust(900_000))

        def change(phase: str, done: int, total: int | None) -> None:
            if phase == "sending":
                path.write_bytes(b'{"metadata":{},"records":[]}'.ljust(899_999) + b"!")

        with pytest.raises(FixFile) as caught:
            client.push(path, on_bytes=change)
        assert caught.value.code == "file_changed"
        assert not any(seen.is_signed for seen in server.seen)


class TestValidate:
    BODY = b'{"metadata":{},"records":[]}'

    def test_gives_the_verdict(self, server: FakeServer, client: Client) -> None:
        verdict = {"valid": True, "total": 1, "failed": 0, "errors": []}
        server.on("POST", f"{API}/imports/validate", Reply(200, verdict))
        assert client.validate(self.BODY, format="json") == verdict

    def test_gives_the_job_of_a_large_dry_run(self, server: FakeServer, client: Client) -> None:
        server.on("POST", f"{API}/imports/validate", ACCEPTED)
        answer = client.validate(self.BODY, format="json")
        assert isinstance(answer, Accepted)
        assert answer.job_id == JOB


class TestResults:
    LINES = [{"index": i, "record": f"C-{i}", "outcome": "failed", "data": {"name": "Zoë\u2028"}} for i in range(3)]
    PATH = f"{STATUS}/results/failed"

    def body(self) -> bytes:
        return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in self.LINES)

    def test_come_line_by_line(self, server: FakeServer, client: Client) -> None:
        server.on("GET", self.PATH, Reply(200, self.body(), {"Content-Type": "application/x-ndjson"}))
        assert list(client.results(JOB)) == self.LINES
        assert "ndjson" in server.seen[0].headers["accept"]

    def test_come_as_csv_on_request(self, server: FakeServer, client: Client) -> None:
        server.on("GET", self.PATH, Reply(200, b"index\n0\n", {"Content-Type": "text/csv"}))
        assert b"".join(client.download(JOB, "failed", format="csv")) == b"index\n0\n"
        assert server.seen[0].headers["accept"] == "text/csv"

    def test_that_break_off_are_told(self, server: FakeServer, client: Client) -> None:
        server.on("GET", self.PATH, Reply(200, self.body(), {"Content-Type": "x/ndjson"}, cut_after=80))
        with pytest.raises(TryLater) as caught:
            list(client.results(JOB))
        assert caught.value.code == "download_broken"

    def test_of_an_unknown_job_are_told(self, client: Client) -> None:
        with pytest.raises(CheckId):
            list(client.results(JOB))


def test_status_takes_an_address_for_an_id(server: FakeServer, client: Client) -> None:
    answer: Any = {"status": "pending", "progress": {"total": 1, "processed": 0, "failed": 0}, "errors": []}
    server.on("GET", STATUS, Reply(200, answer))
    assert client.status(f"{server.url}{STATUS}/") == answer


def test_cancel_posts_without_a_body(server: FakeServer, client: Client) -> None:
    server.on("POST", f"{STATUS}/cancel", Reply(202, {"status": "failed"}))
    client.cancel(JOB)
    (seen,) = server.seen
    assert (seen.body, seen.headers["content-length"], "content-type" in seen.headers) == (b"", "0", False)


def test_lookup_keeps_the_id_out_of_the_address(server: FakeServer, client: Client) -> None:
    found: Any = {"record": {"id": "C-1"}, "origin": {}, "story": []}
    server.on("POST", f"{API}/records/lookup", Reply(200, found))
    assert client.lookup("customer", "C-1") == found
    assert server.seen[0].target == f"{API}/records/lookup"
    assert json.loads(server.seen[0].body) == {"type": "customer", "id": "C-1"}


def test_verify_gives_both_strings(server: FakeServer, client: Client) -> None:
    def verify(seen: Seen) -> Reply:
        lines = ["POST", seen.headers["host"], seen.target]
        return Reply(200, {"valid": True, "step": None, "skewSeconds": 0, "stringToSign": "\n".join(lines)})

    server.on("POST", f"{API}/auth/verify", verify)
    answer, ours = client.verify()
    assert answer["valid"]
    assert "\n".join(ours.split("\n")[4:7]) == answer["stringToSign"]


def test_verify_gives_the_signature_of_the_attempt_that_was_answered(server: FakeServer, client: Client) -> None:
    server.on("POST", f"{API}/auth/verify", problem(503, "busy", "Busy."), Reply(200, {"valid": True, "step": None}))
    _, ours = client.verify()
    assert ours.split("\n")[3] == server.seen[-1].nonce


def test_the_clock_of_the_signature_is_this_machines(server: FakeServer, client: Client) -> None:
    server.on("GET", STATUS, Reply(200, {}))
    client.status(JOB)
    assert abs(int(server.seen[0].headers["authorization"].split(".")[2]) - time.time()) < 5
