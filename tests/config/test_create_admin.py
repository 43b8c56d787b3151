import io
import re

import pytest
from axes.models import AccessAttempt
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client, RequestFactory

from audit.models import AuditEvent

pytestmark = pytest.mark.django_db


def create_admin(*arguments: str) -> str:
    printed = io.StringIO()
    call_command("create_admin", *arguments, stdout=printed, no_color=True)
    return printed.getvalue()


def password_in(printed: str) -> str:
    found = re.search(r"^  password   (\S+)$", printed, re.MULTILINE)
    assert found
    return found[1]


def may_sign_in(username: str, password: str) -> bool:
    return authenticate(RequestFactory().post("/admin/login/"), username=username, password=password) is not None


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_it_makes_an_admin_whose_password_is_printed_once() -> None:
    printed = create_admin()
    admin = User.objects.get(username="admin")
    assert admin.is_staff
    assert admin.is_superuser
    assert may_sign_in("admin", password_in(printed))
    event = AuditEvent.objects.get(action="admin.created")
    assert (event.actor_kind, event.actor_id, event.target) == ("command", "create_admin", f"staff:{admin.pk}")


def test_two_passwords_are_never_the_same() -> None:
    first, second = password_in(create_admin("--username", "one")), password_in(create_admin("--username", "two"))
    assert first != second
    assert re.fullmatch(r"([a-z2-9]{5}-){3}[a-z2-9]{5}", first)


def test_an_admin_is_not_made_twice() -> None:
    create_admin()
    with pytest.raises(CommandError, match="--reset"):
        create_admin()
    assert AuditEvent.objects.filter(action="admin.created").count() == 1


@pytest.mark.parametrize("username", ["a b", "", "x" * 151])
def test_a_name_that_no_login_can_have_is_refused(username: str) -> None:
    with pytest.raises(CommandError):
        create_admin("--username", username)
    assert not User.objects.exists()


def test_a_reset_replaces_the_password_and_ends_the_sessions() -> None:
    first = password_in(create_admin())
    browser = Client()
    browser.force_login(User.objects.get())
    second = password_in(create_admin("--reset"))
    assert not may_sign_in("admin", first)
    assert may_sign_in("admin", second)
    assert browser.get("/admin/").status_code == 302
    assert AuditEvent.objects.filter(action="admin.password_reset").count() == 1


def test_a_reset_unlocks_an_admin_who_failed_too_often() -> None:
    create_admin()
    browser = Client()
    for _ in range(6):
        browser.post("/admin/login/", {"username": "admin", "password": "wrong"})
    assert AccessAttempt.objects.filter(username="admin").exists()
    password = password_in(create_admin("--reset"))
    assert browser.post("/admin/login/", {"username": "admin", "password": password}).status_code == 302


def test_a_reset_needs_an_active_admin_of_that_name() -> None:
    User.objects.create_user("plain")
    create_admin("--username", "gone")
    User.objects.filter(username="gone").update(is_active=False)
    for username in ("plain", "gone", "nobody"):
        with pytest.raises(CommandError, match="no active admin"):
            create_admin("--reset", "--username", username)


def test_a_password_from_standard_input_is_taken_and_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "four words of mine\n")
    assert "four words" not in create_admin("--password-stdin")
    assert may_sign_in("admin", "four words of mine")


@pytest.mark.parametrize("password", ["", "short", "administrator"])
def test_a_weak_password_from_standard_input_is_refused(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, f"{password}\n")
    with pytest.raises(CommandError):
        create_admin("--password-stdin")
    assert not User.objects.exists()
    assert not AuditEvent.objects.exists()
