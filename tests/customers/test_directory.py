import hmac
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from customers import directory, signing
from customers.cipher import Opener
from customers.enrolment import IssuedKey, issue_key
from customers.keyring import keyring
from customers.models import Customer, HmacKey
from customers.signing import Token, parse_authorization, sign_request, string_to_sign

pytestmark = pytest.mark.django_db


def signed(key_id: str, secret: str) -> tuple[Token, str]:
    token = parse_authorization(sign_request(key_id, secret, method="GET", host="h", target="/"))
    return token, string_to_sign(token, "GET", "h", "/")


def test_a_key_is_found_with_all_the_gate_needs(owner: Customer, issued: IssuedKey) -> None:
    Customer.objects.filter(pk=owner.pk).update(allowed_networks=["192.0.2.0/24"])
    entry = directory.find_key(issued.key_id)
    assert entry is not None
    assert (entry.key_id, entry.key_pk, entry.customer_id) == (issued.key_id, issued.key.pk, owner.pk)
    assert (entry.customer_uuid, entry.networks) == (owner.uuid, ("192.0.2.0/24",))
    assert entry.scopes == {"imports:write", "imports:read", "records:read", "keys:rotate"}
    assert entry.secret == signing.decode_secret(issued.secret)
    assert repr(entry.secret)[2:-1] not in repr(entry)
    assert directory.find_key("bk_unknown_01") is None


def test_the_right_signature_names_its_key(issued: IssuedKey) -> None:
    entry = directory.verify(*signed(issued.key_id, issued.secret))
    assert entry is not None
    assert entry.key_pk == issued.key.pk


def dead_keys(now: datetime) -> list[Any]:
    hour = timedelta(hours=1)
    return [
        ("revoked", {"revoked_at": now}),
        ("expired", {"not_before": now - 2 * hour, "expires_at": now - hour}),
        ("expires this very moment", {"not_before": now - hour, "expires_at": now}),
        ("not yet valid", {"not_before": now + hour, "expires_at": now + 2 * hour}),
    ]


@pytest.mark.parametrize("case", range(4))
def test_a_dead_key_with_the_right_signature_is_nobody(issued: IssuedKey, case: int) -> None:
    now = timezone.now()
    HmacKey.objects.filter(pk=issued.key.pk).update(**dead_keys(now)[case][1])
    assert directory.verify(*signed(issued.key_id, issued.secret), now) is None


def test_a_key_of_an_inactive_customer_is_nobody(owner: Customer, issued: IssuedKey) -> None:
    Customer.objects.filter(pk=owner.pk).update(is_active=False)
    assert directory.verify(*signed(issued.key_id, issued.secret)) is None
    entry = directory.find_key(issued.key_id)
    assert entry is not None
    assert entry.refusal(timezone.now()) == "customer_inactive"


def test_another_secret_or_another_string_is_nobody(owner: Customer, issued: IssuedKey) -> None:
    token, string = signed(issued.key_id, issued.secret)
    assert directory.verify(token, string + "x") is None
    assert directory.verify(*signed(issued.key_id, signing.new_secret())) is None
    assert directory.verify(*signed(issued.key_id, issue_key(owner).secret)) is None


def test_the_stand_in_for_unknown_keys_opens_nothing() -> None:
    zeros = signing.SECRET_PREFIX + signing.encode(bytes(32))
    assert directory.verify(*signed("bk_unknown_01", zeros)) is None


@pytest.mark.parametrize("case", ["right", "wrong mac", "unknown key", "revoked", "inactive"])
def test_every_case_costs_one_look_up_one_decryption_one_mac_and_one_comparison(
    owner: Customer,
    issued: IssuedKey,
    case: str,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    key_id = "bk_unknown_01" if case == "unknown key" else issued.key_id
    secret = signing.new_secret() if case == "wrong mac" else issued.secret
    if case == "revoked":
        HmacKey.objects.filter(pk=issued.key.pk).update(revoked_at=timezone.now())
    if case == "inactive":
        Customer.objects.filter(pk=owner.pk).update(is_active=False)
    token, string = signed(key_id, secret)
    calls = {"mac": 0, "compare": 0, "open": 0}

    def counted(name: str, function: Any) -> Any:
        def count(*args: Any) -> Any:
            calls[name] += 1
            return function(*args)

        return count

    monkeypatch.setattr("customers.directory.signing.mac", counted("mac", signing.mac))
    monkeypatch.setattr("customers.directory.hmac.compare_digest", counted("compare", hmac.compare_digest))
    monkeypatch.setattr(Opener, "open", counted("open", Opener.open))
    # A warm key ring, as in every process that has served this customer within the minute.
    warm = keyring(owner.pk)
    monkeypatch.setattr("customers.keyring.keyring", lambda _: warm)
    with django_assert_num_queries(1):
        found = directory.verify(token, string)
    assert (found is not None) == (case == "right")
    assert calls == {"mac": 1, "compare": 1, "open": 1}
    # What is kept saves the caller with the right mac a look-up, and tells nobody else whether the key exists.
    again = 0 if case == "right" else 1
    with django_assert_num_queries(again):
        directory.verify(token, string)
    assert calls == {"mac": 2, "compare": 2, "open": 1 + again}


def test_a_revoked_key_is_dead_within_a_second(issued: IssuedKey, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("customers.directory.time.monotonic", lambda: clock[0])
    call = signed(issued.key_id, issued.secret)
    assert directory.verify(*call)
    HmacKey.objects.update(revoked_at=timezone.now())
    clock[0] += 0.99
    assert directory.verify(*call)
    clock[0] += 0.01
    assert directory.verify(*call) is None


def test_a_flood_of_unknown_ids_evicts_no_key(
    issued: IssuedKey, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    clock = [100.0]
    monkeypatch.setattr("customers.directory.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("customers.directory._CACHED_KEYS", 10)
    directory.find_key(issued.key_id)
    for number in range(50):
        directory.find_key(f"bk_unknown_{number}")
    assert len(directory._known._entries) == 1
    with django_assert_num_queries(0):
        assert directory.find_key(issued.key_id)


def test_a_secret_that_cannot_be_read_is_nobody_and_said_in_the_log(
    issued: IssuedKey, caplog: pytest.LogCaptureFixture
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE customers_hmackey SET secret = %s", [b"\x01" + bytes(80)])
    assert directory.verify(*signed(issued.key_id, issued.secret)) is None
    assert "hmac_secret_unreadable" in caplog.text
    assert issued.secret not in caplog.text


def used(issued: IssuedKey) -> tuple[datetime | None, str | None]:
    key = HmacKey.objects.get(pk=issued.key.pk)
    return key.last_used_at, key.last_used_ip


def test_the_last_use_is_noted_once_a_minute(
    issued: IssuedKey, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    clock, now = [100.0], timezone.now()
    monkeypatch.setattr("customers.directory.time.monotonic", lambda: clock[0])
    directory.touch(issued.key.pk, "192.0.2.7", now)
    assert used(issued) == (now, "192.0.2.7")
    with django_assert_num_queries(0):
        directory.touch(issued.key.pk, "192.0.2.8", now + timedelta(seconds=59))
    clock[0] += 60
    directory.touch(issued.key.pk, None, now + timedelta(seconds=61))
    assert used(issued) == (now + timedelta(seconds=61), None)


def test_another_process_that_noted_it_a_moment_ago_is_not_repeated(issued: IssuedKey) -> None:
    now = timezone.now()
    directory.touch(issued.key.pk, "192.0.2.7", now)
    directory.forget()
    directory.touch(issued.key.pk, "192.0.2.8", now + timedelta(seconds=30))
    assert used(issued) == (now, "192.0.2.7")


@pytest.mark.django_db(transaction=True)
def test_noting_the_use_waits_for_no_lock(issued: IssuedKey) -> None:
    other = connection.copy()
    try:
        with transaction.atomic():
            HmacKey.objects.select_for_update(no_key=True).get(pk=issued.key.pk)
            with other.cursor() as cursor:
                cursor.execute("SET statement_timeout = 2000")
                now = timezone.now()
                cursor.execute(directory._TOUCH, {"key_pk": issued.key.pk, "now": now, "address": None, "before": now})
                assert cursor.rowcount == 0
    finally:
        other.close()


def test_a_use_that_cannot_be_noted_is_only_logged(issued: IssuedKey, caplog: pytest.LogCaptureFixture) -> None:
    with transaction.atomic():
        directory.touch(issued.key.pk, "no address", timezone.now())
        transaction.set_rollback(True)
    assert "key_use_not_noted" in caplog.text
