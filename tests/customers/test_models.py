from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from customers.cipher import MAX_DATA_KEY_ID
from customers.enrolment import IssuedKey, issue_key
from customers.models import Customer, DataKey, HmacKey, SeenNonce

pytestmark = pytest.mark.django_db


def refused_by(constraint: str, write: Any) -> None:
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        write()
    assert constraint in str(caught.value)


def test_the_migrations_match_the_models() -> None:
    call_command("makemigrations", "customers", check=True, dry_run=True, stdout=StringIO())


@pytest.mark.parametrize(
    ("constraint", "values"),
    [
        ("customer_name_not_empty", {"name": ""}),
        ("customer_name_unique", {"name": "BIGCORP"}),
        ("customer_max_concurrent_imports_in_range", {"max_concurrent_imports": 0}),
        ("customer_retention_days_in_range", {"retention_days": 0}),
        ("customer_bulk_per_minute_from_one", {"bulk_per_minute": 0}),
        ("customers_customer_slug_key", {"slug": "bigcorp"}),
    ],
)
def test_the_database_refuses_a_bad_customer(owner: Customer, constraint: str, values: dict[str, Any]) -> None:
    row = {"name": "Other", "slug": "other", **values}
    refused_by(constraint, lambda: Customer.objects.create(**row))


@pytest.mark.parametrize(
    ("constraint", "values"),
    [
        ("hmac_key_id_form", {"key_id": "short"}),
        ("hmac_key_id_form", {"key_id": "bk_0001234\n"}),
        ("hmac_key_scopes_known", {"scopes": ["everything"]}),
        ("hmac_key_scopes_known", {"scopes": []}),
    ],
)
def test_the_database_refuses_a_bad_key(issued: IssuedKey, constraint: str, values: dict[str, Any]) -> None:
    refused_by(constraint, lambda: HmacKey.objects.filter(pk=issued.key.pk).update(**values))


def test_a_key_ends_after_it_begins(issued: IssuedKey) -> None:
    key = issued.key
    refused_by(
        "hmac_key_expires_after_it_begins",
        lambda: HmacKey.objects.filter(pk=key.pk).update(expires_at=key.not_before),
    )


@pytest.mark.parametrize(
    ("constraint", "values"),
    [
        ("data_key_version_unique", {"purpose": "record", "version": 1}),
        ("data_key_version_from_one", {"version": 0}),
        ("data_key_purpose_known", {"purpose": "other"}),
        ("data_key_id_fits_the_ciphertext_header", {"id": MAX_DATA_KEY_ID + 1}),
        ("data_key_wrapped_until_destroyed", {"state": "destroyed"}),
        ("data_key_wrapped_until_destroyed", {"wrapped": None}),
    ],
)
def test_the_database_refuses_a_bad_data_key(owner: Customer, constraint: str, values: dict[str, Any]) -> None:
    row = {"customer": owner, "purpose": "record", "version": 2, "wrapped": b"x", "kek_id": "m1", **values}
    refused_by(constraint, lambda: DataKey.objects.create(**row))


def test_a_nonce_of_a_key_stands_once() -> None:
    values = {"key_id": "bk_12345678", "nonce": "n" * 22, "expires_at": timezone.now()}
    SeenNonce.objects.create(**values)
    refused_by("seen_nonce_unique", lambda: SeenNonce.objects.create(**values))


def test_networks_are_kept_in_one_spelling() -> None:
    customer = Customer.objects.create(name="N", slug="n", allowed_networks=["2001:DB8::/32", "192.0.2.7"])
    assert customer.allowed_networks == ["2001:db8::/32", "192.0.2.7/32"]
    assert Customer.objects.get(pk=customer.pk).allowed_networks == ["2001:db8::/32", "192.0.2.7/32"]


@pytest.mark.parametrize(
    ("network", "message"),
    [("10.0.0.1/8", "do you mean 10.0.0.0/8"), ("office", "write for example"), ("10.0.0.0/33", "write for example")],
)
def test_a_bad_network_is_explained(network: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Customer(name="N", slug="n", allowed_networks=[network]).full_clean()


def test_the_database_refuses_what_is_no_network(owner: Customer) -> None:
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE customers_customer SET allowed_networks = ARRAY['10.0.0.1/8']::cidr[]")


def test_live_keys_are_those_that_sign_now(owner: Customer, issued: IssuedKey) -> None:
    now = timezone.now()
    later, expired, revoked = (issue_key(owner).key for _ in range(3))
    HmacKey.objects.filter(pk=later.pk).update(not_before=now + timedelta(hours=1))
    HmacKey.objects.filter(pk=expired.pk).update(not_before=now - timedelta(days=2), expires_at=now)
    HmacKey.objects.filter(pk=revoked.pk).update(revoked_at=now)
    assert [key.pk for key in HmacKey.objects.live(now)] == [issued.key.pk]
    for key, state in ((issued.key, "live"), (later, "not yet valid"), (expired, "expired"), (revoked, "revoked")):
        key.refresh_from_db()
        assert key.state(now) == state
    Customer.objects.update(is_active=False)
    assert not HmacKey.objects.live(now).exists()


def test_a_customer_with_keys_cannot_be_deleted(owner: Customer) -> None:
    with pytest.raises(ProtectedError):
        owner.delete()
