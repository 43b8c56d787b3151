"""Whether this process lives, and whether the house can do its work. Neither answer holds anything confidential."""

from typing import Final

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

OK: Final = "ok"
_TIMEOUT_SECONDS: Final = 2


@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers at all."""
    return JsonResponse({"status": OK})


@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200 where imports can be accepted and worked on, else 503. Valkey away is told, and does not make it unready:
    jobs are accepted without it and their work begins when it is back."""
    checks = {"database": _database(), "valkey": _valkey()}
    is_ready = checks["database"] == OK
    return JsonResponse(
        {"status": OK if is_ready else "unavailable", "checks": checks}, status=200 if is_ready else 503
    )


def _database() -> str:
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return "unreachable"
    return "migrations pending" if pending else OK


def _valkey() -> str:
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS
        ) as client:
            client.ping()
    except redis.RedisError:
        return "unreachable"
    return OK
