"""Who is acting, from where and for which request. Every audit event takes these from the context it is
recorded in.

The context travels by contextvars: through `await`, and through sync_to_async and asyncio.to_thread, which
copy it into their threads. A plain new thread starts with an empty one.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal, get_args

ActorKind = Literal["system", "key", "staff", "command"]

_ACTOR_KINDS = frozenset(get_args(ActorKind))
_ACTOR_ID = re.compile(r"[^\s\x00-\x1f\x7f\ud800-\udfff]{1,150}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:/,+=-]{0,128}")


@dataclass(frozen=True, slots=True)
class Actor:
    """`id` is a key id, a staff user name, a command's or a worker's name: 1 to 150 characters without white
    space.
    """

    kind: ActorKind
    id: str

    def __post_init__(self) -> None:
        if self.kind not in _ACTOR_KINDS:
            raise ValueError(f"An actor's kind is one of {', '.join(sorted(_ACTOR_KINDS))}.")
        if not _ACTOR_ID.fullmatch(self.id):
            raise ValueError("An actor's id has 1 to 150 characters, none of them white space.")


@dataclass(frozen=True, slots=True)
class Context:
    """`actor` is None until an edge says who acts; `source_ip` is None and `request_id` empty outside a
    request.
    """

    actor: Actor | None = None
    source_ip: str | None = None
    request_id: str = ""


_NOBODY = Context()
_current: ContextVar[Context] = ContextVar("longshore_audit_context", default=_NOBODY)


def current_context() -> Context:
    """The context of the running code; `Context()` where no edge has called acting_as()."""
    return _current.get()


@contextmanager
def acting_as(actor: Actor, *, source_ip: str | None = None, request_id: str | None = None) -> Iterator[Context]:
    """Everything inside is done by `actor`. What is left out is kept from the context around it.

    Raises ValueError for an address or a request id that the trail could not hold: check a caller's own
    before.
    """
    outer = _current.get()
    inner = replace(outer, actor=actor)
    if source_ip is not None:
        inner = replace(inner, source_ip=normal_address(source_ip))
    if request_id is not None:
        if not _REQUEST_ID.fullmatch(request_id):
            raise ValueError("A request id has at most 128 characters out of A-Z a-z 0-9 _ . : / , + = -.")
        inner = replace(inner, request_id=request_id)
    token = _current.set(inner)
    try:
        yield inner
    finally:
        _current.reset(token)


def normal_address(text: str) -> str:
    """One spelling an address, so that a stored one hashes as it was written: IPv4 out of IPv6, no zone,
    lower case.
    """
    address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(address)
