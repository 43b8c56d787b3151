from collections.abc import Iterator

import pytest

from audit.context import Actor, acting_as
from customers import directory, enrolment
from customers.models import Customer
from imports.api.throttling import FAILED_SIGNATURES
from tests.imports.api.wire import Signer
from tests.live import LiveServer, granian_server


@pytest.fixture(scope="session")
def probe_server(django_db_setup: None) -> Iterator[LiveServer]:
    """The real gate in a real granian, over tests.imports.api.probe_urls. A body may pause for a second."""
    with granian_server("tests.imports.api.probe_app:application", environment={"BODY_IDLE_SECONDS": "1"}) as server:
        yield server


@pytest.fixture(autouse=True)
def failures_forgotten() -> None:
    """All tests call from one address, which is refused after 300 failed signatures in a minute."""
    FAILED_SIGNATURES.clear("127.0.0.1")


@pytest.fixture
def owner(transactional_db: None) -> tuple[Customer, enrolment.IssuedKey]:
    directory.forget()
    with acting_as(Actor("command", "tests")):
        return enrolment.create_customer("Owner")


@pytest.fixture
def stranger(transactional_db: None) -> tuple[Customer, enrolment.IssuedKey]:
    with acting_as(Actor("command", "tests")):
        return enrolment.create_customer("Stranger")


@pytest.fixture
def signer(probe_server: LiveServer, owner: tuple[Customer, enrolment.IssuedKey]) -> Signer:
    """The owner's program."""
    _, issued = owner
    return Signer(probe_server, issued.key_id, issued.secret)
