import re
from pathlib import Path

import orjson
import pytest
from django.core.exceptions import PermissionDenied
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404
from django.test import Client
from psycopg_pool import PoolTimeout
from redis.exceptions import ConnectionError as RedisConnectionError
from rest_framework import exceptions

from imports.api.codes import CODES
from imports.api.problems import Problem, problem_of
from imports.refusal import Refusal

ROOT = Path(__file__).resolve().parents[3]


def test_a_problem_is_an_rfc_9457_document() -> None:
    problem = Problem("invalid_body", "Mend it.", errors=[("/records/0", "wrong_value", "Not so.")])
    assert orjson.loads(problem.body(instance="/api/v1/x", request_id="r-1")) == {
        "type": "/api/docs/errors#invalid_body",
        "title": "Invalid body",
        "status": 422,
        "detail": "Mend it.",
        "instance": "/api/v1/x",
        "code": "invalid_body",
        "requestId": "r-1",
        "errors": [{"pointer": "/records/0", "code": "wrong_value", "detail": "Not so."}],
    }


def test_the_request_id_is_left_out_where_it_would_tell_two_refusals_apart() -> None:
    body = Problem("signature_invalid").body(instance="/", request_id="r-1")
    assert b"r-1" not in body
    assert b"r-1" in Problem("signature_replay").body(instance="/", request_id="r-1")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Problem("not_found"), "not_found"),
        (Refusal("invalid_envelope", "Mend it."), "invalid_envelope"),
        (OperationalError("away"), "unavailable"),
        (InterfaceError("closed"), "unavailable"),
        (PoolTimeout("no connection"), "unavailable"),
        (RedisConnectionError("away"), "unavailable"),
        (Http404(), "not_found"),
        (PermissionDenied(), "scope_missing"),
        (exceptions.NotAuthenticated(), "signature_form"),
        (exceptions.MethodNotAllowed("PUT"), "method_not_allowed"),
        (exceptions.NotAcceptable(), "not_acceptable"),
        (exceptions.ParseError(), "malformed_request"),
        (exceptions.Throttled(wait=3), "rate_limited"),
        (exceptions.ValidationError({"a": "'somebody@example.com' is no number"}), "invalid_body"),
    ],
)
def test_every_known_exception_is_a_problem(error: Exception, code: str) -> None:
    problem = problem_of(error)
    assert problem is not None
    assert problem.code == code
    assert b"somebody@example.com" not in problem.body(instance="/", request_id="")


@pytest.mark.parametrize("error", [ValueError("x"), DataError("x"), KeyError("x"), exceptions.APIException()])
def test_a_fault_of_ours_is_no_problem(error: Exception) -> None:
    assert problem_of(error) is None


def test_the_headers_follow_the_status() -> None:
    assert Problem("signature_form").headers == {"WWW-Authenticate": "HMAC"}
    assert Problem("unavailable").headers == {"Retry-After": "5"}
    refusal = problem_of(Refusal("too_many_running_imports", "Wait.", retry_after=7))
    assert refusal is not None
    assert refusal.headers == {"Retry-After": "7"}


def test_every_code_in_the_source_is_in_the_table() -> None:
    used = set()
    for path in (ROOT / "imports").rglob("*.py"):
        if path.name != "checking.py":
            used |= set(re.findall(r'\b(?:Problem|Refusal)\(\s*"(\w+)"', path.read_text()))
    assert used
    assert used <= CODES.keys()


def test_every_code_is_on_the_page_its_problems_point_at(client: Client) -> None:
    answer = client.get("/api/docs/errors")
    assert answer.status_code == 200
    for name in CODES:
        assert f'<tr id="{name}">'.encode() in answer.content


def test_every_status_of_a_code_fits_its_name() -> None:
    assert {CODES[name].status for name in CODES if name.startswith("signature_")} == {401}
    assert all(400 <= code.status < 600 and code.meaning.endswith(".") for code in CODES.values())
