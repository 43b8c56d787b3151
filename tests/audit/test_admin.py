import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from audit.context import Actor, acting_as
from audit.models import AuditEvent, actions
from audit.trail import audited, record

pytestmark = pytest.mark.django_db

ADDRESS = "/admin/audit/auditevent/"


@pytest.fixture
def events(acting: None) -> None:
    with audited():
        record("import.accepted", target="import:1")
        record("customer.created", target="customer:acme", detail={"networks": 2})
    with acting_as(Actor("staff", "root"), request_id="req-2"), audited():
        record("customer.changed", target="customer:acme")


@pytest.fixture
def superuser() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root", password="long-enough-1"))
    return client


def rows(client: Client, query: str = "") -> list[int]:
    page = client.get(ADDRESS + query)
    assert page.status_code == 200
    return [event.sequence for event in page.context["cl"].result_list]


@pytest.mark.usefixtures("events")
def test_the_list_is_filtered_by_action(superuser: Client) -> None:
    assert actions() == ["customer.changed", "customer.created", "import.accepted"]
    assert rows(superuser) == [3, 2, 1]
    assert rows(superuser, "?action=customer.created") == [2]


@pytest.mark.usefixtures("events")
def test_search_finds_whole_targets_and_request_ids_only(superuser: Client) -> None:
    assert rows(superuser, "?q=customer:acme") == [3, 2]
    assert rows(superuser, "?q=req-2") == [3]
    assert rows(superuser, "?q=acme") == []
    assert rows(superuser, "?q=req") == []


@pytest.mark.usefixtures("events")
def test_nobody_adds_changes_or_deletes(superuser: Client) -> None:
    page = superuser.get(f"{ADDRESS}2/change/")
    assert page.status_code == 200
    assert AuditEvent.objects.get(sequence=2).hash.hex() in page.content.decode()
    for address in (f"{ADDRESS}add/", f"{ADDRESS}2/delete/", f"{ADDRESS}2/change/"):
        assert superuser.post(address, {"action": "x.y", "post": "yes"}).status_code == 403
    picked = {"action": "delete_selected", "_selected_action": ["2"], "post": "yes"}
    superuser.post(ADDRESS, picked)
    assert AuditEvent.objects.count() == 3


@pytest.mark.usefixtures("events")
def test_reading_needs_the_permission() -> None:
    person = get_user_model().objects.create_user("reader", password="long-enough-1", is_staff=True)
    client = Client()
    client.force_login(person)
    assert client.get(ADDRESS).status_code == 403
    person.user_permissions.add(Permission.objects.get(codename="view_auditevent"))
    assert client.get(ADDRESS).status_code == 200
    assert not Permission.objects.filter(codename__in=["add_auditevent", "delete_auditevent"]).exists()


@pytest.mark.usefixtures("events")
def test_a_page_costs_the_same_however_long_the_trail(superuser: Client, django_assert_max_num_queries: object) -> None:
    with django_assert_max_num_queries(6):  # type: ignore[operator]
        superuser.get(ADDRESS)
