"""PostgreSQL, Valkey and the workers: do they answer, and are there enough of them?"""

import time
from typing import Final

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from rq import Worker

from config import env
from config.doctor.finding import Finding, State, found
from imports import doorbell

OLDEST_POSTGRES: Final = 15
# A signature may be 300 s off; a database clock that far away would end keys at other times than the web does.
MOST_SKEW_SECONDS: Final = 5.0
# For `manage.py` commands, backups and people.
SPARE_CONNECTIONS: Final = 5
# A worker's batch and the notes of its attempts.
CONNECTIONS_A_WORKER: Final = 2


def postgres() -> Finding:
    began = time.perf_counter()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version_num")
            version = int(cursor.fetchone()[0])
    except DatabaseError as err:
        return Finding("PostgreSQL", State.FAULT, f"does not answer ({type(err).__name__}): check DATABASE_URL")
    milliseconds = (time.perf_counter() - began) * 1000
    number = f"{version // 10000}.{version % 10000}"
    return found(
        "PostgreSQL",
        version >= OLDEST_POSTGRES * 10000,
        f"{number} answers in {milliseconds:.0f} ms",
        f"{number} is too old: {OLDEST_POSTGRES} or newer is needed",
    )


def valkey() -> Finding:
    """Jobs are accepted without it, but their work begins only when it is back."""
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as client:
            began = time.perf_counter()
            client.ping()
            milliseconds = (time.perf_counter() - began) * 1000
            facts = client.info("server")
    except redis.RedisError as err:
        return Finding("Valkey", State.FAULT, f"does not answer ({type(err).__name__}): check REDIS_URL")
    name = "Valkey" if "valkey_version" in facts else "Redis"
    version = facts.get("valkey_version") or facts.get("redis_version")
    return Finding("Valkey", State.OK, f"{name} {version} answers in {milliseconds:.0f} ms")


def migrations() -> Finding:
    executor = MigrationExecutor(connection)
    pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return found(
        "Migrations",
        not pending,
        f"all {len(executor.loader.applied_migrations)} are applied",
        f"{len(pending)} are not applied: run manage.py migrate",
    )


def clock() -> Finding:
    with connection.cursor() as cursor:
        before = timezone.now()
        cursor.execute("SELECT clock_timestamp()")
        theirs = cursor.fetchone()[0]
    skew = abs((theirs - before).total_seconds())
    return found(
        "Clock",
        skew <= MOST_SKEW_SECONDS,
        "agrees with PostgreSQL's",
        f"is {skew:,.0f} s away from PostgreSQL's: set both by NTP, since signatures are checked against it",
    )


def connections() -> Finding:
    """What this host's processes may open at most, against what PostgreSQL lets in."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(CASE name WHEN 'max_connections' THEN setting::int ELSE -setting::int END) FROM pg_settings "
            "WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')"
        )
        (allowed,) = cursor.fetchone()
    web, pool = settings.WEB, env.integer("DATABASE_POOL_SIZE", 16)
    needed = web * pool + settings.WORKERS * CONNECTIONS_A_WORKER + 1 + SPARE_CONNECTIONS
    workers = f"{settings.WORKERS} workers x {CONNECTIONS_A_WORKER}"
    parts = f"{web} web x {pool} + {workers} + sweeper + {SPARE_CONNECTIONS} spare"
    return found(
        "Connections",
        needed <= allowed,
        f"{needed} of {allowed} at most ({parts})",
        f"{needed} may be opened and {allowed} are let in ({parts}): lower WEB, WORKERS or DATABASE_POOL_SIZE, "
        "or raise max_connections",
    )


def workers() -> Finding:
    """By their heartbeats: RQ's list of workers stays empty once Valkey has lost it, while they work on."""
    try:
        heartbeats = doorbell.queue().connection.scan_iter(f"{Worker.redis_worker_namespace_prefix}*", count=1000)
        count = sum(1 for _ in heartbeats)
        waiting = doorbell.waiting()
    except redis.RedisError:
        return Finding("Workers", State.WARNING, "cannot be counted while Valkey is away")
    return found(
        "Workers",
        count > 0,
        f"{count} listen, {waiting} messages wait",
        "none listens, so accepted imports wait: start manage.py up or manage.py worker",
    )
