"""What Django answers where no view did: a problem document below /api/, a page elsewhere. Named in config/urls.py."""

import sys

from django.http import HttpRequest, HttpResponse
from django.views import defaults

from imports.api.problems import Problem, answer, is_api_path, problem_of


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler400: a Host that ALLOWED_HOSTS does not name, a form larger than Django takes."""
    if is_api_path(request.path):
        return answer(Problem("malformed_request"), request)
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler403."""
    if is_api_path(request.path):
        return answer(Problem("scope_missing"), request)
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler404."""
    if is_api_path(request.path):
        return answer(Problem("not_found"), request)
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500, which Django calls while the exception is being handled: 503 for a lost database, else 500."""
    error = sys.exception()
    problem = (problem_of(error) if error else None) or Problem("internal_error")
    if is_api_path(request.path):
        return answer(problem, request)
    if problem.status != 503:
        return defaults.server_error(request)
    return HttpResponse(
        "<!doctype html><title>Unavailable</title><h1>Unavailable</h1>"
        "<p>The database is not answering. Try again in a few seconds.</p>",
        status=503,
        headers=problem.headers,
    )
