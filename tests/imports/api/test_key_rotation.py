"""POST /keys/rotate, and what rotation and revocation mean for calls on several web processes at once."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from threading import Event, Thread

import pytest
from django.utils import timezone

from audit.context import Actor, acting_as
from audit.models import AuditEvent
from customers import enrolment
from customers.enrolment import IssuedKey
from customers.models import Customer, HmacKey
from tests.imports.api.wire import JSON, Signer
from tests.live import LiveServer, granian_server

Owner = tuple[Customer, IssuedKey]
ROTATE = "/api/v1/keys/rotate"
LIST = "/api/v1/imports"


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[LiveServer]:
    with granian_server() as running:
        yield running


@pytest.fixture
def program(server: LiveServer, owner: Owner) -> Signer:
    return Signer(server, owner[1].key_id, owner[1].secret)


@pytest.fixture(scope="module")
def second_server(django_db_setup: None) -> Iterator[LiveServer]:
    """Another web process, with a cache of its own."""
    with granian_server() as running:
        yield running


def test_a_program_rotates_its_own_key(program: Signer, owner: Owner) -> None:
    before = timezone.now()
    answer = program.call("POST", ROTATE)
    assert (answer.status, answer.headers["cache-control"]) == (201, "no-store")
    new = answer.json
    assert list(new) == ["keyId", "secret", "scopes", "expiresAt", "replaces"]
    assert set(new["scopes"]) == set(owner[1].key.scopes)
    successor = Signer(program.server, new["keyId"], new["secret"])
    assert [key.call(target=LIST).status for key in (program, successor)] == [200, 200]
    old = HmacKey.objects.get(key_id=program.key_id)
    assert new["replaces"]["keyId"] == program.key_id
    assert timedelta() <= old.expires_at - before - timedelta(days=14) < timedelta(seconds=30)
    assert abs(datetime.fromisoformat(new["replaces"]["expiresAt"]) - old.expires_at) < timedelta(seconds=1)
    event = AuditEvent.objects.get(action="key.rotated")
    assert (event.actor_kind, event.actor_id, event.target) == ("key", program.key_id, f"key:{program.key_id}")
    assert new["secret"] not in repr(list(AuditEvent.objects.values()))
    assert new["secret"] not in program.server.log


def test_the_overlap_is_the_callers_choice(program: Signer) -> None:
    answer = program.call("POST", ROTATE, b'{"overlapHours":0}')
    assert answer.status == 201
    time.sleep(1.0)  # the cache of keys lives for a second
    assert program.call(target=LIST).code == "signature_invalid"
    assert Signer(program.server, answer.json["keyId"], answer.json["secret"]).call(target=LIST).status == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"overlapHours":337}', "invalid_body"),
        (b'{"overlapHours":-1}', "invalid_body"),
        (b'{"overlapHours":"24"}', "invalid_body"),
        (b'{"overlap":1}', "invalid_body"),
        (b"[]", "invalid_body"),
        (b"{", "malformed_json"),
    ],
)
def test_a_wrong_body_issues_nothing(program: Signer, body: bytes, code: str) -> None:
    assert program.call("POST", ROTATE, body).code == code
    assert HmacKey.objects.count() == 1


def test_a_key_without_the_scope_rotates_nothing(server: LiveServer, owner: Owner) -> None:
    with acting_as(Actor("command", "tests")):
        issued = enrolment.issue_key(owner[0], scopes=["imports:read"])
    assert Signer(server, issued.key_id, issued.secret).call("POST", ROTATE).code == "scope_missing"
    assert HmacKey.objects.count() == 2


def test_a_program_that_rotates_in_a_loop_is_stopped(program: Signer) -> None:
    key = HmacKey.objects.get()
    with acting_as(Actor("command", "tests")):
        for _ in range(enrolment.MAX_LIVE_KEYS - 1):
            enrolment.issue_key(key.customer)
    answer = program.call("POST", ROTATE)
    assert (answer.status, answer.code) == (409, "too_many_keys")


def test_rotation_under_load_refuses_no_call(program: Signer, second_server: LiveServer) -> None:
    """Callers on two processes go on with the old key and the new one while keys are rotated."""
    signers = [program, Signer(second_server, program.key_id, program.secret)]
    statuses: list[int] = []
    over = Event()

    def call(place: int) -> None:
        while not over.is_set():
            statuses.append(signers[place].call(target=LIST).status)

    threads = [Thread(target=call, args=(place,)) for place in (0, 1, 0, 1)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        new = program.call("POST", ROTATE, content_type=JSON, body=b"{}").json
        signers[1] = Signer(second_server, new["keyId"], new["secret"])
        time.sleep(0.1)
    over.set()
    for thread in threads:
        thread.join()
    assert len(statuses) > 20
    assert set(statuses) == {200}


def test_a_revoked_key_is_dead_on_every_process_within_a_second(program: Signer, second_server: LiveServer) -> None:
    processes = [program, Signer(second_server, program.key_id, program.secret)]
    for _ in range(3):
        assert [process.call(target=LIST).status for process in processes] == [200, 200]
    with acting_as(Actor("command", "tests")):
        enrolment.revoke_key(HmacKey.objects.get())
    revoked_at = time.monotonic()
    # Each call keeps asking, as a busy caller does: the cache must not live on by being used.
    while time.monotonic() - revoked_at < 1.0:
        for process in processes:
            process.call(target=LIST)
    assert [process.call(target=LIST).code for process in processes] == ["signature_invalid"] * 2
