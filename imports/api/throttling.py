"""Calls that are too many: beyond a customer's quota, or failed signatures of one address."""

import threading
import time
from typing import Final

from customers.quotas import Quota
from customers.windows import Use, Window
from imports.api.problems import Problem

FAILED_SIGNATURES: Final = Window("failed-signatures", count=300, seconds=60)
_REMEMBERED_ADDRESSES: Final = 10_000


def count_call(quota: Quota) -> dict[str, str]:
    """The RateLimit headers of an answer to this call. Raises Problem quota_exceeded."""
    use = quota.take()
    headers = rate_limit_headers(quota, use)
    if not use.is_within:
        raise Problem("quota_exceeded", headers={**headers, "Retry-After": str(use.reset_seconds)})
    return headers


def rate_limit_headers(quota: Quota, use: Use) -> dict[str, str]:
    """As draft-ietf-httpapi-ratelimit-headers-11 has them: structured lists of one quoted policy each."""
    return {
        "RateLimit-Policy": f'"{quota.name}";q={quota.limit};w={quota.seconds}',
        "RateLimit": f'"{quota.name}";r={use.remaining};t={use.reset_seconds}',
    }


def refuse_known_offender(address: str) -> None:
    """Raises Problem rate_limited while this process knows the address to be beyond its failures. Asks nobody."""
    wait = _offenders.wait_of(address)
    if wait:
        raise _too_many(wait)


def refuse_offender(address: str) -> None:
    """The same by the count of all processes, before any look-up of a key."""
    use = FAILED_SIGNATURES.look(address)
    if not use.is_within:
        _offenders.remember(address, use.reset_seconds)
        raise _too_many(use.reset_seconds)


def count_failed_signature(address: str) -> None:
    """Raises Problem rate_limited in place of the 401 from the 301st failure in a minute from one address."""
    use = FAILED_SIGNATURES.hit(address)
    if not use.is_within:
        _offenders.remember(address, use.reset_seconds)
        raise _too_many(use.reset_seconds)


def _too_many(wait_seconds: int) -> Problem:
    return Problem(
        "rate_limited",
        "Too many signatures from this address have failed. Mend the signature, and wait as long as Retry-After says.",
        headers={"Retry-After": str(wait_seconds)},
    )


class _Offenders:
    """Addresses whose window is full, until its oldest failure leaves it: a flood then costs one look into a dict."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def wait_of(self, address: str) -> int:
        until = self._until.get(address)
        if until is None:
            return 0
        wait = until - time.monotonic()
        if wait <= 0:
            self._until.pop(address, None)
            return 0
        return int(wait) + 1

    def remember(self, address: str, seconds: int) -> None:
        now = time.monotonic()
        with self._lock:
            if len(self._until) >= _REMEMBERED_ADDRESSES:
                self._until = {known: until for known, until in self._until.items() if until > now}
            if len(self._until) < _REMEMBERED_ADDRESSES:
                self._until[address] = now + seconds


_offenders = _Offenders()
