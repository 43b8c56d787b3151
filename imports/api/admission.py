"""Who signed this request, and may they call from here: all that is decided before the body is read.

Plain synchronous steps in their order; each raises the Problem to answer. The gate runs `admit` in one thread hop.
"""

import logging
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils import timezone

from customers import directory, nonces
from customers.networks import client_address, is_allowed
from customers.signing import MalformedToken, Token, is_timely, parse_authorization, string_to_sign
from imports.api.head import Head
from imports.api.media import intake_of, media_type_of
from imports.api.problems import Problem

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Admission:
    """A call that may send its body now."""

    key: directory.KeyEntry
    media_type: str


def source_address(client: Any, head: Head) -> str:
    """The caller's address as far as TRUSTED_PROXIES lets it be known, "" where there is none."""
    peer = client[0] if client else None
    return client_address(peer, head.forwarded_for, settings.TRUSTED_PROXIES) or ""


def read_token(head: Head) -> Token:
    """The one signature of the request. Raises Problem signature_form."""
    if len(head.authorization) != 1:
        raise Problem("signature_form")
    try:
        return parse_authorization(head.authorization[0])
    except MalformedToken:
        raise Problem("signature_form") from None


def check_clock(token: Token, now: float) -> None:
    """Raises Problem signature_clock beyond 300 seconds either way. `now` is in Unix seconds."""
    if not is_timely(token, now):
        raise Problem("signature_clock")


def admit(head: Head, token: Token, source_ip: str) -> Admission:
    """Key and mac together, network, size and media type, then the nonce, which a refusal before it does not use up."""
    key = check_key(head, token, source_ip)
    intake = intake_of(head)
    media_type = media_type_of(head, intake)
    if not nonces.remember(key.key_id, token.nonce, intake.writes):
        raise Problem("signature_replay")
    directory.touch(key.key_pk, source_ip or None, timezone.now())
    return Admission(key, media_type)


def check_key(head: Head, token: Token, source_ip: str) -> directory.KeyEntry:
    """The live key that made this signature. Raises Problem signature_invalid or network_not_allowed.

    A network is looked at only once the mac is right: before that, its answer would tell that the key exists.
    """
    try:
        string = string_to_sign(token, head.method, head.host, head.target, head.content_type)
    except MalformedToken:
        raise Problem("signature_form") from None
    key = directory.verify(token, string)
    if key is None:
        raise Problem("signature_invalid")
    if not is_allowed(source_ip or None, key.networks):
        logger.info("network_not_allowed", extra={"key_id": key.key_id, "source_ip": source_ip})
        raise Problem("network_not_allowed")
    return key
