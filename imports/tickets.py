"""One-use passes to a job's socket: a browser cannot sign a WebSocket, and an address must not carry a signature."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, cast
from uuid import UUID

from imports.models import ImportJob
from imports.valkey import client

TICKET_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Ticket:
    """`token` is 32 random bytes in base64url, told once."""

    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Admission:
    """What a ticket opens."""

    job: UUID
    customer_id: int


def issue(job: ImportJob, customer_id: int, now: datetime) -> Ticket:
    """A ticket for one connection within 60 s. Valkey keeps its digest alone; redis.RedisError where Valkey is away."""
    token = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    admission = json.dumps({"job": job.uuid.hex, "customer": customer_id})
    client().set(_key(token), admission, ex=TICKET_SECONDS)
    return Ticket(token, now + timedelta(seconds=TICKET_SECONDS))


def redeem(token: str) -> Admission | None:
    """What the ticket opens, and the ticket is gone; None for one that is unknown, used or expired.

    redis.RedisError where Valkey is away.
    """
    stored = cast("bytes | None", client().getdel(_key(token)))
    if stored is None:
        return None
    admission = json.loads(stored)
    return Admission(UUID(admission["job"]), admission["customer"])


def _key(token: str) -> str:
    return f"longshore:ticket:{hashlib.sha256(token.encode()).hexdigest()}"
