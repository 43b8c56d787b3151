"""One call: signed over what is sent, repeated where that is safe, told plainly where it is not."""

import socket
import time
from email.utils import formatdate

import pytest
from longshore import (
    AskForAccess,
    CheckId,
    Client,
    FixConfiguration,
    FixKey,
    FixRequest,
    LongshoreError,
    ReportFault,
    TryLater,
)
from longshore.config import parse_url

from tests.clients.conftest import Pauses
from tests.clients.loopback import JOB, KEY_ID, SECRET, FakeServer, Reply, problem

BULK = "/api/v1/imports/bulk"
STATUS = f"/api/v1/imports/{JOB}"
LOOKUP = "/api/v1/records/lookup"
BODY = b'{"metadata":{},"records":[]}'
ACCEPTED = Reply(202, {"jobId": JOB, "status": "pending"})
PENDING = Reply(200, {"status": "pending", "progress": {"total": 1, "processed": 0, "failed": 0}, "errors": []})
BUSY = problem(503, "busy", "Too much at once.", headers={"Retry-After": "3"})


def push(client: Client) -> str:
    return client.push(BODY, format="json").job_id


class TestSignature:
    def test_every_kind_of_call_is_signed(self, server: FakeServer, client: Client) -> None:
        server.on("POST", BULK, ACCEPTED)
        server.on("GET", STATUS, PENDING)
        server.on("POST", LOOKUP, Reply(200, {"record": {}, "origin": {}, "story": []}))
        push(client)
        client.push(b"id\n1\n", format="csv", type="customer", source="Größe & mehr, a+b")
        client.push(BODY, format="json", gzip=True)
        client.status(JOB)
        client.lookup("customer", "Zoë/1?x=%41")
        assert [seen.is_signed for seen in server.seen] == [True] * 5

    def test_a_default_port_is_not_in_the_host(self) -> None:
        for address, host in [
            ("http://Example.COM:80/", "example.com"),
            ("https://example.com:443", "example.com"),
            ("https://example.com:8443/api/v1/", "example.com:8443"),
            ("https://[::1]:8443", "[::1]:8443"),
            ("https://münchen.example", "xn--mnchen-3ya.example"),
        ]:
            assert parse_url(address).netloc.decode() == host

    def test_each_attempt_has_its_own_nonce(self, server: FakeServer, client: Client) -> None:
        server.on("POST", BULK, BUSY, BUSY, ACCEPTED)
        assert push(client) == JOB
        assert len({seen.nonce for seen in server.seen}) == 3
        assert all(seen.is_signed for seen in server.seen)

    def test_each_attempt_has_the_same_idempotency_key(self, server: FakeServer, client: Client) -> None:
        server.on("POST", BULK, BUSY, ACCEPTED)
        push(client)
        assert len({seen.headers["idempotency-key"] for seen in server.seen}) == 1


class TestRepeats:
    def test_retry_after_is_honoured(self, server: FakeServer, client: Client, pauses: Pauses) -> None:
        server.on("GET", STATUS, problem(429, "slow_down", "Slow down.", headers={"Retry-After": "5"}), PENDING)
        client.status(JOB)
        assert len(pauses) == 1
        assert 5 <= pauses[0] <= 6

    def test_a_date_is_understood_too(self, server: FakeServer, client: Client, pauses: Pauses) -> None:
        at = formatdate(time.time() + 10, usegmt=True)
        server.on("GET", STATUS, problem(503, "busy", "Busy.", headers={"Retry-After": at}), PENDING)
        client.status(JOB)
        assert 8 <= pauses[0] <= 11

    def test_pauses_grow_and_end(self, server: FakeServer, client: Client, pauses: Pauses) -> None:
        server.on("GET", STATUS, problem(503, "busy", "Busy."))
        with pytest.raises(TryLater):
            client.status(JOB)
        assert pauses == [0.375, 0.75, 1.5, 3.0, 6.0, 12.0]
        assert sum(pauses) <= 30

    def test_a_wait_beyond_the_timeout_is_not_begun(self, server: FakeServer, client: Client, pauses: Pauses) -> None:
        server.on("POST", BULK, problem(429, "too_many", "Five imports run.", headers={"Retry-After": "600"}))
        with pytest.raises(TryLater) as caught:
            push(client)
        assert pauses == []
        assert caught.value.hint == "Try again in 600 s."

    @pytest.mark.parametrize("status", [500, 502, 504])
    def test_a_fault_is_repeated_where_it_is_safe(self, server: FakeServer, client: Client, status: int) -> None:
        server.on("POST", BULK, problem(status, "fault", "Oh."), ACCEPTED)
        assert push(client) == JOB

    def test_a_fault_is_not_repeated_where_it_is_not(self, server: FakeServer, client: Client) -> None:
        server.on("POST", f"{STATUS}/cancel", problem(500, "fault", "Oh."))
        with pytest.raises(ReportFault):
            client.cancel(JOB)
        assert len(server.seen) == 1

    def test_an_earlier_attempt_still_in_flight_is_waited_for(self, server: FakeServer, client: Client) -> None:
        server.on("POST", BULK, problem(409, "idempotency_in_flight", "Being taken in."), ACCEPTED)
        assert push(client) == JOB

    def test_on_wait_hears_of_every_pause(self, server: FakeServer, pauses: Pauses) -> None:
        heard: list[tuple[str, float]] = []
        server.on("GET", STATUS, BUSY, BUSY, PENDING)
        with Client(
            server.url,
            KEY_ID,
            SECRET,
            on_wait=lambda error, seconds: heard.append((error.code, seconds)),
            timing=pauses.timing,
        ) as client:
            client.status(JOB)
        assert heard == [("busy", pauses[0]), ("busy", pauses[1])]

    def test_an_unreachable_server_is_tried_again(self, pauses: Pauses) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with (
            Client(f"http://127.0.0.1:{port}", KEY_ID, SECRET, timeout=5, timing=pauses.timing) as client,
            pytest.raises(TryLater) as caught,
        ):
            client.cancel(JOB)
        assert len(pauses) >= 3
        assert caught.value.message == f"http://127.0.0.1:{port} cannot be reached: connection refused."


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, FixRequest),
        (403, AskForAccess),
        (404, CheckId),
        (405, FixRequest),
        (411, FixRequest),
        (413, FixRequest),
        (415, FixRequest),
        (422, FixRequest),
    ],
)
def test_a_refusal_is_told_and_not_repeated(
    server: FakeServer, client: Client, status: int, kind: type[LongshoreError]
) -> None:
    errors = [{"pointer": "/records", "code": "empty", "detail": "There is no record."}]
    server.on("POST", BULK, problem(status, "some_code", "What to do.", requestId="req_9", errors=errors))
    with pytest.raises(kind) as caught:
        push(client)
    error = caught.value
    assert (error.code, error.message, error.request_id) == ("some_code", "What to do.", "req_9")
    assert error.errors == tuple(errors)
    assert error.exit_code == 3
    assert len(server.seen) == 1


class TestUnauthorized:
    def refusal(self, server: FakeServer, client: Client, step: str, date: str | None = None) -> FixKey:
        headers = {"Date": date} if date else {}
        server.on("POST", BULK, problem(401, "unauthorized", "No.", step=step, headers=headers))
        with pytest.raises(FixKey) as caught:
            push(client)
        return caught.value

    @pytest.mark.parametrize(("offset", "way"), [(-3600, "ahead of"), (3600, "behind")])
    def test_a_wrong_clock_is_measured(
        self, server: FakeServer, client: Client, offset: int, way: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        date = formatdate(time.time() + offset, usegmt=True)
        monkeypatch.setattr("tests.clients.loopback._Handler.date_time_string", lambda *_: date)
        error = self.refusal(server, client, "clock")
        assert error.skew_seconds == pytest.approx(-offset, abs=3)
        assert f"seconds {way} the server's" in str(error)
        assert "3,6" in str(error) or "3,5" in str(error)

    @pytest.mark.parametrize("step", ["form", "digest", "replay", "signature", "other"])
    def test_each_step_has_its_advice(self, server: FakeServer, client: Client, step: str) -> None:
        error = self.refusal(server, client, step)
        assert error.step == step
        assert error.hint

    def test_neither_secret_nor_mac_is_in_the_error(self, server: FakeServer, client: Client) -> None:
        error = self.refusal(server, client, "signature")
        mac = server.seen[0].headers["authorization"].rpartition(".")[2]
        shown = repr(error) + repr(vars(error)) + repr(client) + repr(vars(client))
        assert SECRET not in shown
        assert SECRET.removeprefix("lsk_") not in shown
        assert mac not in shown


class TestOtherServers:
    @pytest.mark.parametrize("status", [200, 404, 500])
    def test_a_page_is_not_taken_for_an_answer(self, server: FakeServer, client: Client, status: int) -> None:
        server.on("POST", BULK, Reply(status, b"<html>Sign in</html>", {"Content-Type": "text/html"}))
        with pytest.raises(LongshoreError) as caught:
            push(client)
        assert caught.value.code == "no_longshore_answer"
        assert "LONGSHORE_URL" in str(caught.value.hint)

    def test_a_redirect_is_told(self, server: FakeServer, client: Client) -> None:
        server.on("POST", BULK, Reply(308, b"", {"Location": "https://longshore.example.com/api/v1/imports/bulk"}))
        with pytest.raises(FixConfiguration) as caught:
            push(client)
        assert caught.value.hint == "Set LONGSHORE_URL=https://longshore.example.com"

    def test_a_name_that_does_not_exist_is_told_at_once(self, pauses: Pauses) -> None:
        with (
            Client("http://no-such-host.invalid", KEY_ID, SECRET, timing=pauses.timing) as client,
            pytest.raises(TryLater) as caught,
        ):
            client.status(JOB)
        assert caught.value.code == "unreachable"


class TestConfiguration:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "longshore.example.com",
            "ftp://x",
            "https://",
            "https://u:p@x",
            "https://x/a",
            "https://x?a=1",
            "https://x:99999",
        ],
    )
    def test_an_address_that_cannot_be_right_is_refused(self, url: str) -> None:
        with pytest.raises(FixConfiguration) as caught:
            Client(url, KEY_ID, SECRET)
        assert "u:p" not in str(caught.value)

    def test_what_is_missing_is_named(self) -> None:
        with pytest.raises(FixConfiguration, match="LONGSHORE_KEY_ID and LONGSHORE_SECRET are not set"):
            Client.from_environment(url="https://x", environ={})

    def test_the_environment_is_enough(self) -> None:
        environ = {"LONGSHORE_URL": "https://x/", "LONGSHORE_KEY_ID": KEY_ID, "LONGSHORE_SECRET": f" {SECRET}\n"}
        with Client.from_environment(environ=environ) as client:
            assert repr(client) == f"Client('https://x/', key_id='{KEY_ID}')"

    @pytest.mark.parametrize("key", ["", "a" * 256, 'a"b', "ä", "a\nb"])
    def test_an_idempotency_key_that_no_header_can_carry_is_refused(self, client: Client, key: str) -> None:
        if key:
            with pytest.raises(FixConfiguration):
                client.push(BODY, format="json", idempotency_key=key)

    @pytest.mark.parametrize("job", ["", "latest", "../../limits", "3f2b8c1e"])
    def test_a_job_id_that_is_none_is_refused(self, client: Client, job: str) -> None:
        with pytest.raises(FixConfiguration):
            client.status(job)
