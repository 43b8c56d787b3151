"""What may be answered to any input at all, and what may not."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from imports.api.codes import CODES


class Answered(Protocol):
    """An answer of any of the tests' callers; header names in lower case."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


def faults_of(answer: Answered, *, has_body: bool = True) -> list[str]:
    """What is wrong with the answer, whatever was sent; empty for one that keeps to the rules. `has_body` False: it
    answers a HEAD."""
    if answer.status >= 500:
        return [f"status {answer.status}"]
    if not answer.headers.get("x-request-id"):
        return ["no X-Request-ID"]
    return [] if answer.status < 400 or not has_body else _faults_of_refusal(answer)


def _faults_of_refusal(answer: Answered) -> list[str]:
    if answer.headers.get("content-type") != "application/problem+json":
        return [f"a refusal as {answer.headers.get('content-type')}"]
    problem: dict[str, Any] = json.loads(answer.body)
    faults = [name for name in ("type", "title", "status", "detail", "instance", "code") if not problem.get(name)]
    code = CODES.get(problem.get("code", ""))
    if code is None or code.status != answer.status or problem.get("status") != answer.status:
        faults.append(f"code {problem.get('code')} with status {answer.status}")
    for error in problem.get("errors", ()):
        if set(error) != {"pointer", "code", "detail"} or not error["code"] or not error["detail"]:
            faults.append("an error without a code, a pointer or a detail")
    if (
        answer.status == 422
        and problem.get("code") in ("invalid_envelope", "invalid_body")
        and not problem.get("errors")
    ):
        faults.append("a body refused without a pointer")
    return faults
