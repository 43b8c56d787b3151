from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.utils import timezone

from audit.context import Actor, acting_as
from customers.enrolment import create_customer
from customers.models import Customer
from imports import tickets
from imports.models import ImportJob
from tests.imports.sockets.watching import make_job


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def returned_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every thread gives its connection back after each use, as the web process's pool has it."""
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)


@pytest.fixture
def watched_customer(transactional_db: None) -> Customer:
    with acting_as(Actor("command", "tests")):
        return create_customer("Owner")[0]


@pytest.fixture
def watched_job(watched_customer: Customer, returned_connections: None) -> ImportJob:
    return make_job(watched_customer)


@pytest.fixture
def ticket(watched_job: ImportJob) -> Callable[[], str]:
    """A fresh ticket of the job's owner for each call."""
    return lambda: tickets.issue(watched_job, watched_job.customer_id, timezone.now()).token


@pytest.fixture
def staff(transactional_db: None) -> User:
    user = User.objects.create_user("ada", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_importjob"))
    return user
