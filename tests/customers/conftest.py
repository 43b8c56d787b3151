from collections.abc import Iterator

import pytest
from django.conf import settings
from redis import Redis

from audit.context import Actor, acting_as
from customers import directory, keyring
from customers.enrolment import IssuedKey, create_customer
from customers.models import Customer
from customers.valkey import try_again


@pytest.fixture(autouse=True)
def fresh_process() -> Iterator[None]:
    """Each test begins as a new process would: nothing cached, nobody else's nonces."""
    _forget()
    yield
    _forget()


@pytest.fixture(autouse=True)
def acting() -> Iterator[None]:
    with acting_as(Actor("command", "tests")):
        yield


@pytest.fixture
def enrolled(db: None) -> tuple[Customer, IssuedKey]:
    return create_customer("BigCorp")


@pytest.fixture
def owner(enrolled: tuple[Customer, IssuedKey]) -> Customer:
    return enrolled[0]


@pytest.fixture
def issued(enrolled: tuple[Customer, IssuedKey]) -> IssuedKey:
    return enrolled[1]


@pytest.fixture
def stranger(db: None) -> Customer:
    return create_customer("SmallCorp")[0]


@pytest.fixture
def valkey() -> Iterator[Redis]:
    client = Redis.from_url(settings.REDIS_URL)
    yield client
    client.close()


def _forget() -> None:
    keyring.forget()
    directory.forget()
    try_again()
