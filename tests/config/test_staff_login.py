"""Passwords of staff cannot be tried at will, and a login needs PostgreSQL alone."""

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from django.utils import timezone
from pytest_django import Settings

from audit.context import Actor, acting_as
from config import staff

LOGIN = "/admin/login/"
PASSWORD = "correct-horse-battery"
NOBODY_LISTENS = "unix:///nowhere/valkey.sock"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quick_hashing(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def admin() -> User:
    return User.objects.create_superuser("ada", password=PASSWORD)


def log_in(client: Client, password: str = PASSWORD, **extra: str) -> int:
    """200 is the form once more, 302 the way in, 429 the lock."""
    return int(client.post(LOGIN, {"username": "ada", "password": password}, **extra).status_code)  # type: ignore[arg-type]


def test_five_failures_lock_the_right_password_out_too(admin: User, client: Client) -> None:
    assert [log_in(client, "wrong") for _ in range(5)] == [200, 200, 200, 200, 429]
    assert log_in(client) == 429
    assert log_in(Client(), REMOTE_ADDR="203.0.113.8") == 302


def test_a_success_forgets_the_failures_before_it(admin: User, client: Client) -> None:
    assert [log_in(client, "wrong") for _ in range(4)] == [200] * 4
    assert log_in(client) == 302
    assert [log_in(Client(), "wrong") for _ in range(4)] == [200] * 4


def test_a_lock_ends_after_an_hour(admin: User, client: Client) -> None:
    for _ in range(5):
        log_in(client, "wrong")
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=61))
    assert log_in(client) == 302


def test_a_new_password_ends_the_lock(admin: User, client: Client) -> None:
    for _ in range(5):
        log_in(client, "wrong")
    with acting_as(Actor("command", "tests")):
        password = staff.reset_password("ada")
    assert log_in(client, password) == 302


def log_in_by_asgi(forwarded_for: str, password: str = PASSWORD) -> int:
    """As granian hands it over, from 127.0.0.1."""
    post = async_to_sync(AsyncClient().post)
    answer = post(LOGIN, {"username": "ada", "password": password}, headers={"X-Forwarded-For": forwarded_for})
    return int(answer.status_code)


def test_what_a_stranger_writes_into_a_header_is_not_its_address(admin: User) -> None:
    for number in range(5):
        log_in_by_asgi(f"203.0.113.{number}", "wrong")
    assert log_in_by_asgi("203.0.113.77") == 429
    assert {attempt.ip_address for attempt in AccessAttempt.objects.all()} == {"127.0.0.1"}


def test_behind_a_trusted_proxy_one_address_locks_no_other(admin: User, settings: Settings) -> None:
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    for _ in range(5):
        log_in_by_asgi("198.51.100.1, 203.0.113.1", "wrong")
    assert log_in_by_asgi("203.0.113.1") == 429
    assert log_in_by_asgi("203.0.113.2") == 302


def test_a_dead_valkey_neither_breaks_a_login_nor_a_lock(admin: User, client: Client, settings: Settings) -> None:
    settings.REDIS_URL = NOBODY_LISTENS
    assert [log_in(client, "wrong") for _ in range(5)] == [200, 200, 200, 200, 429]
    assert log_in(Client(), REMOTE_ADDR="203.0.113.8") == 302
