"""Calls that reach Django without the gate, as a test client's do, are refused and never fail."""

import pytest
from django.test import Client

from imports.api.authentication import Caller
from imports.api.call import SignedCall

pytestmark = pytest.mark.urls("tests.imports.api.probe_urls")


@pytest.mark.parametrize("method", ["get", "post", "put", "delete", "options", "head"])
@pytest.mark.parametrize("path", ["/api/v1/probe", "/api/v1/count", "/api/v1/forgetful"])
def test_what_did_not_come_through_the_gate_is_refused(client: Client, method: str, path: str) -> None:
    answer = getattr(client, method)(path)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "HMAC"
    assert len(answer["X-Request-ID"]) == 32
    if method != "head":
        assert answer.json()["step"] == "form"


def test_verification_without_the_gate_is_refused(client: Client) -> None:
    assert client.post("/api/v1/auth/verify", content_type="text/plain", data=b"x").status_code == 401


def test_an_unknown_api_path_is_a_problem_and_a_page_is_not(client: Client) -> None:
    assert client.get("/api/nothing").json()["code"] == "not_found"
    assert client.get("/nothing")["Content-Type"].startswith("text/html")


def test_a_call_shows_no_body_and_lets_it_go() -> None:
    call = SignedCall(1, 2, "bk_12345678", frozenset(), "", b"somebody@example.com", "", 20, "r-1", "")
    assert "somebody" not in repr(call)
    call.release()
    assert call.body == b""


def test_a_caller_is_somebody_and_no_staff() -> None:
    caller = Caller(1, "bk_12345678", frozenset())
    assert (caller.is_authenticated, caller.is_anonymous, caller.is_staff) == (True, False, False)
