"""Who signed this request, and may they call from here: all that is decided before the body is read.

Plain synchronous steps in their order; each raises the Problem to answer. The gate runs `admit` in one thread hop.
"""

import logging
import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from django.conf import settings

from customers import directory, nonces
from customers.networks import client_address, is_allowed
from customers.signing import MalformedToken, Token, is_timely, parse_authorization, string_to_sign
from imports import closing, intake, parts
from imports.api import throttling
from imports.api.call import digest_bytes
from imports.api.head import Head
from imports.api.idempotency import idempotency_key as parse_idempotency_key
from imports.api.media import GZIP, intake_of, media_type_of
from imports.api.problems import Problem
from imports.models import ImportJob

_OF_OPEN_JOB: Final = re.compile(
    r"/api/v1/imports/(?P<job>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/(?:close|parts/(?P<number>[0-9]{1,9}))"
)
_COMMIT: Final = re.compile(r"/api/v1/imports/[0-9a-f-]{36}/commit")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Admission:
    """A call that may send its body now. Of those with the same `turn` one is answered after the other."""

    key: directory.KeyEntry
    media_type: str
    idempotency_key: str
    makes_import: bool
    turn: Hashable
    quota_headers: dict[str, str]


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
    """Key and mac together, network, size and media type, then the nonce, which a refusal before it does not use up,
    then the quota.
    """
    throttling.refuse_offender(source_ip)
    try:
        key = check_key(head, token, source_ip)
    except Problem as problem:
        if problem.step:
            throttling.count_failed_signature(source_ip)
        raise
    taken = intake_of(head)
    media_type = media_type_of(head, taken)
    idempotency_key = parse_idempotency_key(head.idempotency_key) if taken.writes else ""
    if not nonces.remember(key.key_id, token.nonce, taken.writes):
        raise Problem("signature_replay")
    quota_headers = throttling.count_call(key.quotas[taken.quota])
    directory.touch(key.key_pk, source_ip or None, key.read_at)
    turn = _turn_of(head, key.customer_id, idempotency_key if taken.makes_import else "")
    return Admission(key, media_type, idempotency_key, taken.makes_import, turn, quota_headers)


def _turn_of(head: Head, customer_id: int, idempotency_key: str) -> Hashable:
    """None where nobody has to wait."""
    if idempotency_key:
        return customer_id, idempotency_key
    commit = _COMMIT.fullmatch(head.path) if head.method == "POST" else None
    return (customer_id, head.path) if commit else None


def foresee(admission: Admission, token: Token) -> ImportJob | None:
    """The job that this very import made before, so that its body need not come. Raises Refusal."""
    return intake.foresee(
        customer_id=admission.key.customer_id,
        idempotency_key=admission.idempotency_key,
        body_digest=digest_bytes(token.body_sha256),
    )


def foresee_part(head: Head, admission: Admission, token: Token) -> bool:
    """Whether this call sends a part that is stored already. Raises Problem or Refusal for a part or a close that its
    import does not take. Where the view decides without the body, by scope or by number, it is left to it.
    """
    path, _, query = head.target.partition("?")
    match = _OF_OPEN_JOB.fullmatch(path)
    if match is None or "imports:write" not in admission.key.scopes:
        return False
    job = ImportJob.objects.filter(uuid=match["job"], customer_id=admission.key.customer_id).first()
    if job is None:
        raise Problem("not_found")
    if head.method == "POST" and match["number"] is None:
        closing.foresee(job)
    if head.method != "PUT" or match["number"] is None or not 1 <= int(match["number"]) <= parts.MAX_PARTS:
        return False
    form = parts.form_of(admission.media_type, dict(parse_qsl(query, keep_blank_values=True)))
    least_bytes = 1 if head.content_encoding == GZIP else head.length
    return parts.foresee(
        job, int(match["number"]), body_digest=digest_bytes(token.body_sha256), form=form, least_bytes=least_bytes
    )


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
