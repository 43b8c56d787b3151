"""The context of a page: its request id, and the member of staff who acts. API calls have both from the gate."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from audit.context import Actor, acting_as
from customers.networks import client_address, is_trusted
from imports.api.call import REQUEST_ID_KEY, choose_request_id, request_id
from imports.api.head import header_values

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class ForwardedProtoMiddleware:
    """Takes X-Forwarded-Proto out of every request that no trusted proxy sent. Stands first: SecurityMiddleware and the
    cookies believe SECURE_PROXY_SSL_HEADER, whoever wrote it."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_trusted(request.META.get("REMOTE_ADDR"), settings.TRUSTED_PROXIES):
            request.META.pop("HTTP_X_FORWARDED_PROTO", None)
        return self._get_response(request)


class RequestContextMiddleware:
    """Gives every page an id and says it in X-Request-ID. (A lost database becomes 503 in imports.api.fallbacks.)"""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request_id(request):
            request.META[REQUEST_ID_KEY] = choose_request_id(request.headers.get("X-Request-ID"))
        response = self._get_response(request)
        response["X-Request-ID"] = request_id(request)
        return response


class ActingStaffMiddleware:
    """Everything a signed-in member of staff does on a page is done in their name. Stands after authentication.

    It is synchronous and the last in the list, which makes Django run the whole chain in the request's one thread:
    under ASGI each middleware that could be asynchronous would otherwise cost two changes of thread.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        is_call = REQUEST_ID_KEY in getattr(request, "scope", {})  # the gate has set its context
        if is_call or not request.user.is_authenticated:
            return self._get_response(request)
        actor = Actor("staff", request.user.get_username())
        with acting_as(actor, source_ip=address_of(request), request_id=request_id(request)):
            return self._get_response(request)


def address_of(request: HttpRequest) -> str | None:
    """Where a page is asked for from, as far as TRUSTED_PROXIES lets it be known."""
    forwarded_for = header_values(getattr(request, "scope", {"headers": []}), b"x-forwarded-for")
    return client_address(request.META.get("REMOTE_ADDR"), forwarded_for, settings.TRUSTED_PROXIES)
