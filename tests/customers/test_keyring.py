import os
import pickle
from typing import Any

import pytest
from django.db import transaction
from pytest_django import DjangoAssertNumQueries, Settings

from customers import keyring as rings
from customers import master_keys
from customers.cipher import DecryptionError
from customers.enrolment import create_customer
from customers.keyring import NoKeyError, keyring
from customers.models import Customer, DataKey

ROW = b"row-1"


def add_version(customer: Customer, purpose: str = "record", version: int = 2, **values: Any) -> DataKey:
    wrapped = master_keys.current().wrap(os.urandom(32), customer_uuid=customer.uuid, purpose=purpose, version=version)
    return DataKey.objects.create(
        customer=customer,
        purpose=purpose,
        version=version,
        **{"wrapped": wrapped.wrapped, "kek_id": wrapped.kek_id, **values},
    )


def refusal(customer: Customer, blob: bytes) -> str:
    with pytest.raises(DecryptionError) as caught:
        keyring(customer.pk).opener("t", "c").open(blob, ROW)
    return caught.value.code


@pytest.mark.django_db
def test_a_new_customer_has_one_key_for_each_purpose(owner: Customer) -> None:
    keys = DataKey.objects.filter(customer=owner)
    assert sorted((key.purpose, key.version, key.state) for key in keys) == [
        ("index", 1, "active"),
        ("record", 1, "active"),
        ("secret", 1, "active"),
    ]


@pytest.mark.django_db
def test_what_the_ring_seals_it_opens(owner: Customer) -> None:
    ring = keyring(owner.pk)
    sealer = ring.sealer("t", "c")
    blob = sealer.seal(b"payload", ROW)
    assert ring.opener("t", "c").open(blob, ROW) == b"payload"
    assert sealer.data_key_id == DataKey.objects.get(customer=owner, purpose="record").pk
    assert len(ring.index.key("customer", "1")) == 16
    assert len(ring.index.fingerprint(b"{}")) == 32


@pytest.mark.django_db
def test_customers_share_neither_keys_nor_index(owner: Customer, stranger: Customer) -> None:
    blob = keyring(owner.pk).sealer("t", "c").seal(b"payload", ROW)
    assert refusal(stranger, blob) == "unknown_key"
    assert keyring(owner.pk).index.key("customer", "1") != keyring(stranger.pk).index.key("customer", "1")


@pytest.mark.django_db
def test_the_keys_of_one_purpose_open_nothing_of_another(owner: Customer) -> None:
    ring = keyring(owner.pk)
    secret = ring.sealer("t", "c", purpose="secret").seal(b"payload", ROW)
    assert ring.opener("t", "c", purpose="secret").open(secret, ROW) == b"payload"
    assert refusal(owner, secret) == "unknown_key"


@pytest.mark.django_db
def test_writes_use_the_newest_version_and_reads_find_theirs(owner: Customer) -> None:
    old = keyring(owner.pk).sealer("t", "c").seal(b"old", ROW)
    newest = add_version(owner)
    rings.forget(owner.pk)
    sealer = keyring(owner.pk).sealer("t", "c")
    assert sealer.data_key_id == newest.pk
    opener = keyring(owner.pk).opener("t", "c")
    assert opener.open(old, ROW) == b"old"
    assert opener.open(sealer.seal(b"new", ROW), ROW) == b"new"


@pytest.mark.django_db
def test_a_retired_version_reads_and_does_not_write(owner: Customer) -> None:
    blob = keyring(owner.pk).sealer("t", "c").seal(b"old", ROW)
    DataKey.objects.filter(customer=owner, purpose="record").update(state="decrypt_only")
    rings.forget()
    assert keyring(owner.pk).opener("t", "c").open(blob, ROW) == b"old"
    with pytest.raises(NoKeyError):
        keyring(owner.pk).sealer("t", "c")


@pytest.mark.django_db
def test_a_destroyed_version_opens_nothing(owner: Customer) -> None:
    blob = keyring(owner.pk).sealer("t", "c").seal(b"old", ROW)
    DataKey.objects.filter(customer=owner).update(state="destroyed", wrapped=None)
    rings.forget()
    assert refusal(owner, blob) == "destroyed_key"
    with pytest.raises(NoKeyError):
        _ = keyring(owner.pk).index


@pytest.mark.django_db
def test_a_key_without_its_master_key_is_locked_and_not_skipped(owner: Customer, settings: Settings) -> None:
    blob = keyring(owner.pk).sealer("t", "c").seal(b"old", ROW)
    rings.forget()
    settings.MASTER_KEYS = "other:QWxsIG90aGVyIGtleXMgYXJlIGtlcHQgZWxzZXdoZXI="
    assert refusal(owner, blob) == "locked_key"
    with pytest.raises(NoKeyError, match="locked"):
        keyring(owner.pk).sealer("t", "c")


@pytest.mark.django_db
@pytest.mark.parametrize("change", [{"version": 9}, {"purpose": "secret", "version": 9}])
def test_a_data_key_row_that_was_changed_is_locked(owner: Customer, change: dict[str, Any]) -> None:
    blob = keyring(owner.pk).sealer("t", "c").seal(b"old", ROW)
    DataKey.objects.filter(customer=owner, purpose="record").update(**change)
    rings.forget()
    assert refusal(owner, blob) in {"locked_key", "unknown_key"}


@pytest.mark.django_db
def test_a_data_key_row_moved_to_a_stranger_is_locked(owner: Customer, stranger: Customer) -> None:
    blob = keyring(owner.pk).sealer("t", "c").seal(b"old", ROW)
    DataKey.objects.filter(customer=owner, purpose="record").update(customer=stranger, version=2)
    rings.forget()
    assert refusal(stranger, blob) == "locked_key"


@pytest.mark.django_db
def test_there_is_no_ring_for_nobody() -> None:
    with pytest.raises(NoKeyError):
        keyring(0)


@pytest.mark.django_db(transaction=True)
def test_a_ring_is_loaded_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    customer, _ = create_customer("Cached")
    clock = [1000.0]
    monkeypatch.setattr("customers.keyring.time.monotonic", lambda: clock[0])
    ring = keyring(customer.pk)
    with django_assert_num_queries(0):
        assert keyring(customer.pk) is ring
        clock[0] += 59
        assert keyring(customer.pk) is ring
    clock[0] += 2
    assert keyring(customer.pk) is not ring


@pytest.mark.django_db(transaction=True)
def test_a_version_that_another_process_made_is_found_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    customer, _ = create_customer("Rotated")
    clock = [1000.0]
    monkeypatch.setattr("customers.keyring.time.monotonic", lambda: clock[0])
    stale = keyring(customer.pk)
    add_version(customer)
    rings.forget()
    blob = keyring(customer.pk).sealer("t", "c").seal(b"new", ROW)
    assert stale.opener("t", "c").open(blob, ROW) == b"new"


@pytest.mark.django_db(transaction=True)
def test_rubbish_ids_cost_few_looks_a_second(
    monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    customer, _ = create_customer("Rubbish")
    clock = [1000.0]
    monkeypatch.setattr("customers.keyring.time.monotonic", lambda: clock[0])
    opener = keyring(customer.pk).opener("t", "c")
    clock[0] += 2
    with django_assert_max_num_queries(20):
        for number in range(100):
            with pytest.raises(DecryptionError):
                opener.open(b"\x01" + (900_000 + number).to_bytes(4, "big") + bytes(60), ROW)


@pytest.mark.django_db(transaction=True)
def test_a_key_of_a_transaction_that_rolls_back_is_never_written_with() -> None:
    customer, _ = create_customer("Rolled back")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        lost = add_version(customer)
        rings.forget()
        assert keyring(customer.pk).sealer("t", "c").data_key_id == lost.pk
        raise ZeroDivisionError
    assert keyring(customer.pk).sealer("t", "c").data_key_id != lost.pk


@pytest.mark.django_db
def test_a_ring_shows_and_pickles_no_key(owner: Customer) -> None:
    ring = keyring(owner.pk)
    sealed = ring.sealer("t", "c").seal(b"x", ROW)
    ring.opener("t", "c").open(sealed, ROW)
    materials = [entry.material for entry in ring._entries.values()]
    assert len(materials) == 3
    shown = repr(ring) + repr(ring._entries) + repr(ring._xaes) + repr(ring.index)
    for material in materials:
        assert material
        assert repr(material)[2:10] not in shown
        assert material.hex()[:8] not in shown
    with pytest.raises(TypeError):
        pickle.dumps(ring)
