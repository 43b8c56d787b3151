from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from audit.context import Actor, acting_as
from audit.models import AuditEvent
from audit.trail import verify_chain
from customers import directory, signing
from customers.enrolment import EnrolmentError, IssuedKey, create_customer, issue_key, revoke_key, rotate_key
from customers.models import Customer, DataKey, HmacKey


def trail() -> list[tuple[str, str]]:
    return list(AuditEvent.objects.order_by("sequence").values_list("action", "target"))


@pytest.mark.django_db
def test_a_customer_is_ready_to_call(owner: Customer, issued: IssuedKey) -> None:
    assert (owner.slug, owner.name, owner.allowed_networks) == ("bigcorp", "BigCorp", [])
    assert issued.key_id.startswith("bk_")
    assert len(signing.decode_secret(issued.secret)) == 32
    key = HmacKey.objects.get(key_id=issued.key_id)
    assert key.secret.reveal() == issued.secret
    assert key.expires_at - key.not_before == timedelta(days=90)
    assert trail() == [("customer.created", "customer:bigcorp"), ("key.issued", f"key:{issued.key_id}")]


@pytest.mark.django_db
def test_neither_the_trail_nor_a_repr_holds_a_secret(owner: Customer, issued: IssuedKey) -> None:
    successor = rotate_key(issued.key)
    revoke_key(issued.key)
    shown = repr(list(AuditEvent.objects.values())) + repr(issued) + repr(successor)
    for secret in (issued.secret, successor.secret):
        assert secret not in shown
        assert secret[4:20] not in shown
    assert issued.key_id in shown
    assert verify_chain().first_bad is None


@pytest.mark.django_db
def test_the_trail_names_who_did_it_for_whom_and_from_where(owner: Customer) -> None:
    with acting_as(Actor("staff", "ada"), source_ip="192.0.2.7", request_id="req-1"):
        issued = issue_key(owner, label="CRM export", scopes=["imports:read"], expires_in_days=7)
    event = AuditEvent.objects.get(target=f"key:{issued.key_id}")
    assert (event.actor_kind, event.actor_id, event.source_ip, event.request_id) == (
        "staff",
        "ada",
        "192.0.2.7",
        "req-1",
    )
    assert (event.customer_id, event.detail) == (owner.pk, {"scopes": ["imports:read"], "days": 7})


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "slug", "networks", "code", "message"),
    [
        ("BigCorp", None, (), "customer_exists", "already"),
        ("bigcorp", None, (), "customer_exists", "already"),
        ("Big Corp", "bigcorp", (), "customer_exists", "already"),
        ("BIGCORP", "other", (), "customer_exists", "already"),
        ("", None, (), "invalid_customer", "blank"),
        ("株式会社", None, (), "invalid_customer", "short name"),
        ("New", "no spaces", (), "invalid_customer", "slug"),
        ("New", None, ("10.0.0.1/8",), "invalid_customer", "do you mean 10.0.0.0/8"),
        ("N" * 201, "n", (), "invalid_customer", "200"),
    ],
)
def test_what_cannot_be_enrolled_is_explained_and_leaves_nothing(
    owner: Customer, name: str, slug: str | None, networks: tuple[str, ...], code: str, message: str
) -> None:
    before = trail()
    with pytest.raises(EnrolmentError, match=message) as caught:
        create_customer(name, slug=slug, networks=networks)
    assert caught.value.code == code
    assert (Customer.objects.count(), DataKey.objects.count(), trail()) == (1, 3, before)


@pytest.mark.django_db(transaction=True)
def test_of_two_enrolments_at_once_one_wins_and_the_other_is_told() -> None:
    def enrol(number: int) -> str:
        try:
            with acting_as(Actor("command", "tests")):
                create_customer("Twins")
            return "created"
        except EnrolmentError as error:
            return error.code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(enrol, range(8)))
    assert sorted(answers) == ["created"] + ["customer_exists"] * 7
    assert DataKey.objects.filter(customer__slug="twins").count() == 3
    assert verify_chain().first_bad is None


@pytest.mark.django_db
@pytest.mark.parametrize(("days", "scopes"), [(0, ["imports:read"]), (90, []), (90, ["everything"])])
def test_a_key_without_lifetime_or_scope_is_refused(owner: Customer, days: int, scopes: list[str]) -> None:
    with pytest.raises(EnrolmentError) as caught:
        issue_key(owner, expires_in_days=days, scopes=scopes)
    assert caught.value.code == "invalid_key"
    assert HmacKey.objects.count() == 1


@pytest.mark.django_db
def test_a_rotated_key_works_beside_its_successor_until_the_overlap_ends(issued: IssuedKey) -> None:
    now = timezone.now()
    HmacKey.objects.update(label="CRM", scopes=["imports:read"])
    successor = rotate_key(issued.key, overlap_hours=24, now=now)
    old, new = HmacKey.objects.get(pk=issued.key.pk), HmacKey.objects.get(pk=successor.key.pk)
    assert old.expires_at == now + timedelta(hours=24)
    assert (new.label, new.scopes, new.customer_id) == ("CRM", ["imports:read"], old.customer_id)
    assert {key.pk for key in HmacKey.objects.live(now + timedelta(hours=23))} == {old.pk, new.pk}
    assert {key.pk for key in HmacKey.objects.live(now + timedelta(hours=25))} == {new.pk}
    event = AuditEvent.objects.get(action="key.rotated")
    assert event.target == f"key:{old.key_id}"
    assert event.detail == {"successor": new.key_id, "overlap_hours": 24}


@pytest.mark.django_db
def test_rotation_never_lengthens_the_old_keys_life(issued: IssuedKey) -> None:
    now = timezone.now()
    end = now + timedelta(hours=2)
    HmacKey.objects.update(expires_at=end)
    rotate_key(issued.key, overlap_hours=48, now=now)
    assert HmacKey.objects.get(pk=issued.key.pk).expires_at == end


@pytest.mark.django_db
def test_rotation_without_overlap_ends_the_old_key_now(issued: IssuedKey) -> None:
    now = timezone.now()
    successor = rotate_key(issued.key, overlap_hours=0, now=now)
    assert [key.pk for key in HmacKey.objects.live(now)] == [successor.key.pk]


@pytest.mark.django_db
@pytest.mark.parametrize("hours", [-1, 14 * 24 + 1])
def test_an_overlap_out_of_range_is_refused(issued: IssuedKey, hours: int) -> None:
    with pytest.raises(EnrolmentError, match="336"):
        rotate_key(issued.key, overlap_hours=hours)


@pytest.mark.django_db
@pytest.mark.parametrize("end", ["revoked_at", "expires_at"])
def test_a_dead_key_is_not_rotated(issued: IssuedKey, end: str) -> None:
    now = timezone.now()
    HmacKey.objects.update(not_before=now - timedelta(days=1), **{end: now})
    with pytest.raises(EnrolmentError) as caught:
        rotate_key(issued.key, now=now)
    assert caught.value.code == "key_not_live"
    assert HmacKey.objects.count() == 1


@pytest.mark.django_db
def test_revoking_is_recorded_once(issued: IssuedKey) -> None:
    now = timezone.now()
    assert revoke_key(issued.key, now=now)
    assert not revoke_key(issued.key, now=now + timedelta(hours=1))
    assert HmacKey.objects.get(pk=issued.key.pk).revoked_at == now
    assert [action for action, _ in trail()].count("key.revoked") == 1


@pytest.mark.django_db(transaction=True)
def test_a_change_here_is_seen_here_at_once() -> None:
    _, issued = create_customer("Fresh")
    assert directory.find_key("bk_unknown_01") is None
    entry = directory.find_key(issued.key_id)
    assert entry is not None
    assert entry.revoked_at is None
    revoke_key(issued.key)
    entry = directory.find_key(issued.key_id)
    assert entry is not None
    assert entry.revoked_at is not None
