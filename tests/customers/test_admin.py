import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from audit.models import AuditEvent
from customers import directory, signing
from customers.enrolment import IssuedKey, create_customer, issue_key
from customers.models import Customer, DataKey, HmacKey

pytestmark = pytest.mark.django_db

SCOPES = ["imports:read", "records:read"]


@pytest.fixture
def admin_user(db: None) -> User:
    # Without a password: hashing one would take most of each test's time.
    return User.objects.create_user("admin", is_staff=True, is_superuser=True)


@pytest.fixture
def admin_page(admin_user: User) -> Client:
    client = Client()
    client.force_login(admin_user)
    return client


@pytest.fixture
def viewer(db: None) -> Client:
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(user)
    return client


def customer_form(**values: Any) -> dict[str, Any]:
    return {
        "name": "Acme",
        "slug": "acme",
        "is_active": "on",
        "allowed_networks": "192.0.2.0/24,2001:db8::/32",
        "max_concurrent_imports": "5",
        "retention_days": "30",
        **values,
    }


def actions() -> list[str]:
    return list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))


def test_a_customer_made_here_has_its_data_keys_and_a_trail(admin_page: Client) -> None:
    answer = admin_page.post("/admin/customers/customer/add/", customer_form(), follow=True)
    assert "issue a key for Acme" in answer.content.decode()
    customer = Customer.objects.get(slug="acme")
    assert customer.allowed_networks == ["192.0.2.0/24", "2001:db8::/32"]
    assert DataKey.objects.filter(customer=customer).count() == 3
    event = AuditEvent.objects.get(action="customer.created")
    assert (event.actor_kind, event.actor_id, event.target) == ("staff", "admin", "customer:acme")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "BIGCORP"}, "exists already"),
        ({"slug": "bigcorp"}, "exists"),
        ({"allowed_networks": "office"}, "no network"),
    ],
)
def test_a_bad_customer_is_explained_in_the_form(
    admin_page: Client, owner: Customer, values: dict[str, Any], message: str
) -> None:
    answer = admin_page.post("/admin/customers/customer/add/", customer_form(**values))
    assert answer.status_code == 200
    assert message in answer.content.decode()
    assert Customer.objects.count() == 1


def test_a_change_is_recorded_by_the_names_of_its_fields(admin_page: Client, owner: Customer) -> None:
    form = customer_form(name="BigCorp", slug="other", bulk_per_minute="10", allowed_networks="")
    del form["is_active"]
    admin_page.post(f"/admin/customers/customer/{owner.pk}/change/", form)
    owner.refresh_from_db()
    assert (owner.bulk_per_minute, owner.is_active, owner.slug) == (10, False, "bigcorp")
    event = AuditEvent.objects.get(action="customer.changed")
    assert event.detail == {"fields": ["bulk_per_minute", "is_active"]}


def test_saving_without_a_change_records_nothing(admin_page: Client, owner: Customer) -> None:
    admin_page.post(f"/admin/customers/customer/{owner.pk}/change/", customer_form(name="BigCorp", allowed_networks=""))
    assert "customer.changed" not in actions()


def test_the_customer_list_counts_live_keys_without_a_query_each(
    admin_page: Client, owner: Customer, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    issue_key(owner)
    for number in range(10):
        create_customer(f"Customer {number}")
    with django_assert_max_num_queries(8):
        answer = admin_page.get("/admin/customers/customer/")
    counts = re.findall(r'field-live_keys">(\d+)<', answer.content.decode())
    assert sorted(counts) == ["1"] * 10 + ["2"]


def issue(client: Client, customer: Customer, **values: Any) -> Any:
    form = {"customer": customer.pk, "label": "CRM", "expires_in_days": "30", "scopes": SCOPES, **values}
    return client.post("/admin/customers/hmackey/add/", form)


def test_a_secret_is_shown_once_and_kept_nowhere_in_plain_text(admin_page: Client, owner: Customer) -> None:
    assert admin_page.get("/admin/customers/hmackey/add/").status_code == 200
    answer = issue(admin_page, owner)
    page = answer.content.decode()
    secret, key_id = re.search(r"lsk_[\w-]{43}", page), re.search(r"bk_[\w-]{20}", page)
    assert secret
    assert key_id
    assert "no-store" in answer["Cache-Control"]
    key = HmacKey.objects.get(key_id=key_id[0])
    assert key.secret.reveal() == secret[0]
    assert (key.scopes, key.label) == (SCOPES, "CRM")
    token = signing.parse_authorization(signing.sign_request(key.key_id, secret[0], method="GET", host="h", target="/"))
    assert directory.verify(token, signing.string_to_sign(token, "GET", "h", "/"))
    cookies = "".join(str(morsel) for morsel in admin_page.cookies.values())
    session = repr(dict(admin_page.session.items()))
    assert secret[0] not in cookies + session
    for path in ("", f"{key.pk}/change/", f"{key.pk}/history/"):
        later = admin_page.get(f"/admin/customers/hmackey/{path}").content.decode()
        assert key.key_id in later
        assert secret[0] not in later
    event = AuditEvent.objects.get(target=f"key:{key.key_id}")
    assert (event.action, event.actor_id) == ("key.issued", "admin")
    assert secret[0] not in repr(list(AuditEvent.objects.values()))


@pytest.mark.parametrize(
    "values", [{"expires_in_days": "0"}, {"expires_in_days": "400"}, {"scopes": []}, {"scopes": ["x"]}]
)
def test_a_bad_key_is_explained_in_the_form(admin_page: Client, owner: Customer, values: dict[str, Any]) -> None:
    answer = issue(admin_page, owner, **values)
    assert "errorlist" in answer.content.decode()
    assert HmacKey.objects.count() == 1


def test_nothing_of_a_key_is_edited_or_deleted(admin_page: Client, issued: IssuedKey) -> None:
    page = f"/admin/customers/hmackey/{issued.key.pk}"
    assert "<textarea" not in admin_page.get(f"{page}/change/").content.decode()
    assert admin_page.post(f"{page}/change/", {"label": "x"}).status_code == 403
    assert admin_page.post(f"{page}/delete/", {"post": "yes"}).status_code == 403
    assert HmacKey.objects.get(pk=issued.key.pk).label == ""


def revoke(client: Client, issued: IssuedKey) -> Any:
    form = {"action": "revoke", "_selected_action": [issued.key.pk]}
    return client.post("/admin/customers/hmackey/", form, follow=True)


def test_a_key_is_revoked_by_post_and_recorded(admin_page: Client, issued: IssuedKey) -> None:
    admin_page.get(f"/admin/customers/hmackey/?action=revoke&_selected_action={issued.key.pk}")
    assert HmacKey.objects.get(pk=issued.key.pk).revoked_at is None
    assert f"Revoked: {issued.key_id}" in revoke(admin_page, issued).content.decode()
    assert HmacKey.objects.get(pk=issued.key.pk).revoked_at is not None
    assert "nothing changed" in revoke(admin_page, issued).content.decode()
    assert actions().count("key.revoked") == 1


def test_a_revoke_needs_its_csrf_token(admin_user: User, issued: IssuedKey) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    form = {"action": "revoke", "_selected_action": [issued.key.pk]}
    assert client.post("/admin/customers/hmackey/", form).status_code == 403
    assert HmacKey.objects.get(pk=issued.key.pk).revoked_at is None


def test_a_viewer_may_look_and_no_more(viewer: Client, owner: Customer, issued: IssuedKey) -> None:
    for path in (
        "customer/",
        "hmackey/",
        "datakey/",
        f"customer/{owner.pk}/change/",
        f"hmackey/{issued.key.pk}/change/",
    ):
        assert viewer.get(f"/admin/customers/{path}").status_code == 200
    assert issue(viewer, owner).status_code == 403
    assert viewer.post("/admin/customers/customer/add/", customer_form()).status_code == 403
    revoke(viewer, issued)
    assert HmacKey.objects.get().revoked_at is None


def test_a_stranger_sees_the_login_page(issued: IssuedKey) -> None:
    for path in ("customer/", "hmackey/", "hmackey/add/", "datakey/"):
        answer = Client().get(f"/admin/customers/{path}")
        assert answer.status_code == 302
        assert "/admin/login/" in answer["Location"]


def test_data_keys_are_listed_without_their_bytes(admin_page: Client, owner: Customer) -> None:
    key = DataKey.objects.filter(customer=owner).first()
    assert key is not None
    assert key.wrapped is not None
    for path in ("", f"{key.pk}/change/"):
        page = admin_page.get(f"/admin/customers/datakey/{path}").content.decode()
        assert key.kek_id in page
        assert "wrapped" not in page
        assert bytes(key.wrapped).hex()[:12] not in page
    assert admin_page.post(f"/admin/customers/datakey/{key.pk}/change/", {"state": "destroyed"}).status_code == 403
    assert admin_page.get("/admin/customers/datakey/add/").status_code == 403


def test_the_lists_cost_a_fixed_number_of_queries(
    admin_page: Client, owner: Customer, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(10):
        create_customer(f"Customer {number}")
    for path in ("hmackey/", "datakey/"):
        with django_assert_max_num_queries(9):
            assert admin_page.get(f"/admin/customers/{path}").status_code == 200
