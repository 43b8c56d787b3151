"""Writing the trail: audited() is the transaction of a state change, record() says what happened in it.

    with audited():
        job.save()
        record("import.accepted", target=f"import:{job.uuid}", customer_id=job.customer_id, record_count=998)

The events are written together as the last statements of the outermost audited(), because the chain's head is
locked from then to the commit: locked any earlier, two changes that touch the same rows would wait for each
other for ever.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from weakref import WeakSet

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from audit.chain import Entry, link
from audit.context import current_context
from audit.detail import DetailValue, check_action, check_detail, check_target
from audit.verification import Checkpoint, Verification, verify_chain

__all__ = ["BrokenChainError", "Checkpoint", "Verification", "audited", "record", "verify_chain"]

_PLAIN = tuple(name for name in Entry.__slots__ if name != "detail")
_COLUMNS = (*_PLAIN, "detail", "sequence", "previous_hash", "hash")
# The time is PostgreSQL's, so that the events of all hosts stand in one order of time.
_LOCK = "SELECT sequence, hash, clock_timestamp() FROM audit_audithead WHERE id = 1 FOR NO KEY UPDATE"
_INSERT = f"INSERT INTO audit_auditevent ({', '.join(_COLUMNS)}) VALUES"
_VALUES = f"({', '.join(['%s'] * len(_COLUMNS))})"

# Keyed by connection, since events belong to a transaction. A contextvar would follow a copied context into a
# thread whose connection knows nothing of that transaction.
_audited: WeakSet[BaseDatabaseWrapper] = WeakSet()


class BrokenChainError(RuntimeError):
    """The trail cannot be continued. Tell the security contact and run `manage.py verify_audit`."""

    code = "audit_chain_broken"


@contextmanager
def audited() -> Iterator[None]:
    """One transaction and its audit events: both are committed, or neither.

    The outermost one must be the outermost transaction (RuntimeError where it stands inside a plain
    atomic()). An inner one joins it as a savepoint; what was recorded inside a savepoint that rolls back
    vanishes with it.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    if connection in _audited:
        with transaction.atomic():
            yield
        return
    # Durable: inside somebody's plain atomic() the events would not be the last statements before the commit.
    with transaction.atomic(durable=True):
        _audited.add(connection)
        try:
            yield
            if not transaction.get_rollback():
                _write(_take(connection))
        finally:
            _audited.discard(connection)


def record(
    action: str,
    *,
    target: str,
    customer_id: int | None = None,
    record_count: int | None = None,
    detail: Mapping[str, DetailValue] | None = None,
) -> None:
    """Say what happens in this transaction; actor, address and request come from the context.

    `action` is `noun.verb`, `target` is `kind:id`, `detail` holds ids, codes, counts and flags only. One
    event for an operation, never one for each record. Raises RuntimeError outside audited() or where nobody
    acts, UnsafeEventError (a ValueError) for values the trail must not hold.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    if connection not in _audited:
        raise RuntimeError("record() belongs inside `with audited():`, in the transaction it speaks of.")
    context = current_context()
    if context.actor is None:
        raise RuntimeError("Nobody acts here: wrap the entry point in `with acting_as(Actor(kind, id)):`.")
    entry_at = partial(
        Entry,
        actor_kind=context.actor.kind,
        actor_id=context.actor.id,
        action=check_action(action),
        target=check_target(target),
        customer_id=customer_id,
        record_count=record_count,
        source_ip=context.source_ip,
        request_id=context.request_id,
        detail=check_detail(detail or {}),
    )
    transaction.on_commit(_Recorded(entry_at))


@dataclass(frozen=True, slots=True, eq=False)
class _Recorded:
    """An event waiting among the transaction's on-commit callbacks, since Django drops those of a savepoint
    that rolls back. It is taken out again before the commit, which gives it its time; called, it does nothing."""

    entry_at: Callable[[datetime], Entry]

    def __call__(self) -> None:
        return


def _take(connection: BaseDatabaseWrapper) -> list[Callable[[datetime], Entry]]:
    callbacks = connection.run_on_commit
    connection.run_on_commit = [callback for callback in callbacks if not isinstance(callback[1], _Recorded)]
    return [callback[1].entry_at for callback in callbacks if isinstance(callback[1], _Recorded)]


def _write(recorded: list[Callable[[datetime], Entry]]) -> None:
    """Every writer waits while this one holds the head, so between the lock and the commit stand one plain
    statement and no more; the model would spend most of that time on building it."""
    if not recorded:
        return
    insert = f"{_INSERT} {', '.join([_VALUES] * len(recorded))}"
    values: list[Any] = []
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(_LOCK)
        head = cursor.fetchone()
        if head is None:
            raise BrokenChainError(
                "The audit trail has lost its head row; nothing more is recorded until it is looked into."
            )
        sequence, latest, now = head
        for entry_at in recorded:
            entry = entry_at(now)
            sequence, previous = sequence + 1, latest
            latest = link(entry, sequence=sequence, previous_hash=previous)
            row = (getattr(entry, name) for name in _PLAIN)
            values += (*row, json.dumps(entry.detail), sequence, previous, latest)
        # The insert's own trigger checks the links and moves the head: neither happens without the other.
        cursor.execute(insert, values)
