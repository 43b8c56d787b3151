"""DRF's side of the gate: who calls, and what the key may do."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from imports.api.call import SignedCall, signed_call
from imports.api.problems import Problem

if TYPE_CHECKING:  # rest_framework.views imports this module, by the settings
    from rest_framework.views import APIView


@dataclass(frozen=True, slots=True)
class Caller:
    """The principal of a signed call: a customer's key. DRF's `request.user`."""

    customer_id: int
    key_id: str
    scopes: frozenset[str]

    is_authenticated = True
    is_anonymous = False
    is_staff = False


class SignedCallAuthentication(BaseAuthentication):
    """request.user is the Caller and request.auth the SignedCall. What did not come through the gate is 401."""

    def authenticate(self, request: Request) -> tuple[Caller, SignedCall]:
        call = signed_call(request)
        if call is None:
            raise Problem("signature_form")
        return Caller(call.customer_id, call.key_id, call.scopes), call

    def authenticate_header(self, request: Request) -> str:
        return "HMAC"


class HasScope(BasePermission):
    """The view's `required_scope`: a scope, or one a method. A view without one is a fault of ours, and closed."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        method = "GET" if request.method == "HEAD" else str(request.method)
        call = call_of(request)
        if method == "OPTIONS":
            return True
        if not hasattr(view, method.lower()):
            raise MethodNotAllowed(method)
        required: Any = getattr(view, "required_scope", None)
        if isinstance(required, dict):
            required = required.get(method)
        if not required:
            raise ImproperlyConfigured(f"{type(view).__name__} needs a required_scope for {request.method}.")
        if required not in call.scopes:
            raise Problem("scope_missing", f"This call needs a key with the scope {required}.")
        return True


def call_of(request: Request) -> SignedCall:
    """The signed call behind a DRF request; raises Problem 401 where there is none."""
    call = signed_call(request)
    if call is None:
        raise Problem("signature_form")
    return call
