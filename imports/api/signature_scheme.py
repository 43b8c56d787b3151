"""How OpenAPI describes a signed call. drf-spectacular finds the class once this module is imported (by verify.py)."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema


class SignatureScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "imports.api.authentication.SignedCallAuthentication"
    name = "signature"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "HMAC",
            "description": (
                "`Authorization: HMAC v1.{key_id}.{ts}.{nonce}.{body_sha256}.{mac}`. The mac is HMAC-SHA256 over nine "
                "lines joined by LF: HMAC-SHA256-V1, key_id, ts, nonce, method, host in lower case, path and query as "
                "sent, content type or nothing, body_sha256. POST /api/v1/auth/verify shows the string to sign."
            ),
        }
