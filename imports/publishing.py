"""Tells the sockets that a job changed. Nothing depends on it: who hears it reads the job from PostgreSQL."""

import logging
import time
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import channels_redis.pubsub  # noqa: F401 - loaded before workers fork: in each work-horse it would cost 30 ms
from channels.layers import get_channel_layer
from django.conf import settings
from redis import RedisError

from imports import failpoints
from imports.valkey import client

THROTTLE_SECONDS: Final = 0.25
PAUSE_SECONDS: Final = 1.0
LOG_SECONDS: Final = 60.0

logger = logging.getLogger(__name__)


def publish(job_id: int, job_uuid: UUID, revision: int, *, final: bool = False) -> None:
    """Rings for every socket on the job; call it on commit. Takes about 0.1 ms and never raises for a lost Valkey.

    A ring within 250 ms of this process's last one for the job is left out, unless it is the `final` one: a feed reads
    once more 300 ms after each ring, so it sees what was left out.
    """
    failpoints.hit("publishing")
    now = time.monotonic()
    if not final and (now < _state.silent_until or now - _state.rung_at.get(job_id, -1.0) < THROTTLE_SECONDS):
        return
    _state.note(job_id, now)
    try:
        client().publish(channel_name(job_uuid), get_channel_layer().serialize(bell(revision)))
    except RedisError as err:
        _state.silent_until = now + PAUSE_SECONDS
        if now >= _state.logged_at + LOG_SECONDS:
            _state.logged_at = now
            logger.warning("sockets_not_rung job=%s cause=%s", job_id, type(err).__name__)


def group_name(job_uuid: UUID) -> str:
    """The channel layer's group of a job."""
    return f"import.{job_uuid.hex}"


def channel_name(job_uuid: UUID) -> str:
    """The Valkey channel behind that group, as RedisPubSubChannelLayer names it (with one host, so one shard).

    The layer's own group_send is a coroutine bound to a loop: from sync code each call builds a loop and a connection,
    5.4 ms instead of 0.1. tests/imports/test_publishing.py holds this name and format against the layer.
    """
    config: Any = settings.CHANNEL_LAYERS["default"]["CONFIG"]
    return f"{config['prefix']}__group__{group_name(job_uuid)}"


def bell(revision: int) -> dict[str, object]:
    """What goes through Valkey: no counts, no customer, nothing personal."""
    return {"type": "import.changed", "revision": revision}


@dataclass
class _State:
    """What this process rang, in time.monotonic() seconds. Without a lock: a race rings once too often at worst."""

    rung_at: dict[int, float] = field(default_factory=dict)
    silent_until: float = 0.0
    logged_at: float = -LOG_SECONDS

    def note(self, job_id: int, now: float) -> None:
        if len(self.rung_at) >= 100:
            self.rung_at = {job: at for job, at in list(self.rung_at.items()) if now - at < THROTTLE_SECONDS}
        self.rung_at[job_id] = now


_state = _State()
