"""Bodies as intake reads them, or refuses them."""

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from imports.envelope import JSON, Envelope, open_envelope
from imports.refusal import Refusal

METADATA: dict[str, Any] = {"source": "crm", "version": "1.0.0", "timestamp": "2024-03-15T00:00:00Z"}
HEAD = b'{"metadata":' + json.dumps(METADATA).encode() + b',"records":'
MANY = 500_000


def opened(body: bytes, media_type: str = JSON, parameters: Mapping[str, str] | None = None) -> Envelope:
    return open_envelope(body, media_type=media_type, parameters=parameters or {})


def records_of(body: bytes, media_type: str = JSON, parameters: Mapping[str, str] | None = None) -> list[bytes]:
    return [bytes(memoryview(raw)) for raw in opened(body, media_type, parameters).records]


def refusal_of(body: bytes, media_type: str = JSON, parameters: Mapping[str, str] | None = None) -> Refusal:
    with pytest.raises(Refusal) as caught:
        opened(body, media_type, parameters)
    return caught.value


def faults_of(body: bytes, media_type: str = JSON, parameters: Mapping[str, str] | None = None) -> set[tuple[str, str]]:
    """(pointer, code) of each fault of a document that is refused as 422 invalid_envelope."""
    refusal = refusal_of(body, media_type, parameters)
    assert refusal.code == "invalid_envelope"
    return {(pointer, code) for pointer, code, _ in refusal.errors}


class Quick:
    """A block that takes about a second at most; what grows with the square of the body takes minutes or days."""

    def __enter__(self) -> None:
        self.begun = time.process_time()

    def __exit__(self, *_: object) -> None:
        assert time.process_time() - self.begun < 8
