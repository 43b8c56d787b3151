from collections.abc import Iterator

import pytest

from audit.context import Actor, acting_as


@pytest.fixture
def acting() -> Iterator[None]:
    """A key that calls from 203.0.113.7 in request req-1."""
    with acting_as(Actor("key", "bk_test_0001"), source_ip="203.0.113.7", request_id="req-1"):
        yield
