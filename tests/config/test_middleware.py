from collections.abc import Callable

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory, override_settings

from audit.context import Context, current_context
from config.middleware import ActingStaffMiddleware, ForwardedProtoMiddleware, RequestContextMiddleware


@pytest.fixture
def seen() -> list[Context]:
    return []


@pytest.fixture
def page(seen: list[Context]) -> Callable[[HttpRequest], HttpResponse]:
    def respond(request: HttpRequest) -> HttpResponse:
        seen.append(current_context())
        return HttpResponse("a page")

    return respond


def test_a_page_has_a_request_id(page: Callable[[HttpRequest], HttpResponse], rf: RequestFactory) -> None:
    respond = RequestContextMiddleware(page)
    assert len(respond(rf.get("/"))["X-Request-ID"]) == 32
    assert respond(rf.get("/", headers={"X-Request-ID": "abcd-1234"}))["X-Request-ID"] == "abcd-1234"
    assert len(respond(rf.get("/", headers={"X-Request-ID": "abcd 1234"}))["X-Request-ID"]) == 32


def test_staff_act_in_their_own_name(
    page: Callable[[HttpRequest], HttpResponse], rf: RequestFactory, seen: list[Context]
) -> None:
    request = rf.get("/", headers={"X-Request-ID": "abcd-1234", "X-Forwarded-For": "192.0.2.7"})
    request.user = User(username="ana")
    RequestContextMiddleware(ActingStaffMiddleware(page))(request)
    actor = seen[0].actor
    assert actor is not None
    assert (actor.kind, actor.id) == ("staff", "ana")
    assert (seen[0].source_ip, seen[0].request_id) == ("127.0.0.1", "abcd-1234")
    assert current_context().actor is None


def test_a_visitor_acts_as_nobody(
    page: Callable[[HttpRequest], HttpResponse], rf: RequestFactory, seen: list[Context]
) -> None:
    request = rf.get("/")
    request.user = AnonymousUser()
    RequestContextMiddleware(ActingStaffMiddleware(page))(request)
    assert seen[0].actor is None


@pytest.mark.parametrize(
    ("peer", "is_believed"), [("192.0.2.1", True), ("::ffff:192.0.2.1", True), ("192.0.2.2", False), ("", False)]
)
def test_only_a_trusted_peer_says_that_a_call_came_by_tls(rf: RequestFactory, peer: str, is_believed: bool) -> None:
    seen = []

    def respond(request: HttpRequest) -> HttpResponse:
        seen.append(request.is_secure())
        return HttpResponse()

    believing = override_settings(
        TRUSTED_PROXIES=["192.0.2.1"], SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")
    )
    with believing:
        ForwardedProtoMiddleware(respond)(rf.get("/", headers={"X-Forwarded-Proto": "https"}, REMOTE_ADDR=peer))
    assert seen == [is_believed]


@pytest.mark.parametrize(("peer", "status"), [("192.0.2.1", 200), ("192.0.2.2", 301)])
def test_a_stranger_cannot_talk_its_way_round_the_redirect_to_tls(peer: str, status: int) -> None:
    believing = override_settings(
        TRUSTED_PROXIES=["192.0.2.1"],
        SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
        SECURE_SSL_REDIRECT=True,
        ALLOWED_HOSTS=["testserver"],
    )
    with believing:
        answer = Client(REMOTE_ADDR=peer).get("/api/docs/errors", headers={"X-Forwarded-Proto": "https"})
    assert answer.status_code == status
