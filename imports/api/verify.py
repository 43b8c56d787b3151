"""POST /auth/verify: tells a caller which check its signature fails, and the string the server would sign.

It passes the gate with any signature. It never tells the expected mac, nor whether a key exists, and it neither looks
up nor uses up a nonce: the same example may be sent again and again, and it opens nothing, since the target is signed.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from customers.signing import MalformedToken, Token, string_to_sign
from customers.windows import Window
from imports.api import signature_scheme  # noqa: F401 - registers itself with drf-spectacular
from imports.api.head import Head
from imports.api.problems import Problem

VERIFICATION_KEY: Final = "longshore.verification"

_CALLS: Final = Window("verify", count=60, seconds=60)


@dataclass(frozen=True, slots=True)
class Verification:
    """`step` is the first check that failed, None where the signature is good. Times are Unix seconds."""

    step: str | None
    server_time: int
    skew_seconds: int | None
    string_to_sign: str | None


def check_rate(address: str) -> None:
    """Raises Problem 429 from the 61st call in a minute from one address."""
    use = _CALLS.hit(address)
    if not use.is_within:
        raise Problem("rate_limited", headers={"Retry-After": str(use.reset_seconds)})


def verification(head: Head, token: Token | None, *, step: str, body_sha256: str, now: float) -> Verification:
    """What to answer. The string holds the digest of the body as it came, so that each of its lines can be compared."""
    return Verification(
        step=step or None,
        server_time=int(now),
        skew_seconds=int(now) - token.timestamp if token else None,
        string_to_sign=_string(head, replace(token, body_sha256=body_sha256)) if token else None,
    )


def _string(head: Head, token: Token) -> str | None:
    try:
        return string_to_sign(token, head.method, head.host, head.target, head.content_type)
    except MalformedToken:
        return None


class VerifyView(APIView):
    """The gate has judged the signature; this shows what it found."""

    authentication_classes = []
    permission_classes = []

    @extend_schema(
        operation_id="verifySignature",
        summary="Check a signature",
        description=(
            "Send any body of at most 64 KiB, signed as every other call. Takes every signature, good or not, "
            "60 times a minute from one address. `skewSeconds` is the server's time less the signature's. "
            "No nonce is used up."
        ),
        request={"*/*": bytes},
        responses=inline_serializer(
            "Verification",
            {
                "valid": serializers.BooleanField(),
                "step": serializers.ChoiceField(["form", "clock", "signature", "digest"], allow_null=True),
                "serverTime": serializers.IntegerField(),
                "skewSeconds": serializers.IntegerField(allow_null=True),
                "stringToSign": serializers.CharField(allow_null=True),
            },
        ),
    )
    def post(self, request: Request) -> Response:
        found: Any = getattr(request, "scope", {}).get(VERIFICATION_KEY)
        if not isinstance(found, Verification):
            raise Problem("signature_form")
        return Response(
            {
                "valid": found.step is None,
                "step": found.step,
                "serverTime": found.server_time,
                "skewSeconds": found.skew_seconds,
                "stringToSign": found.string_to_sign,
            }
        )
