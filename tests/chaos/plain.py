"""The negative control: the same loss of processes over plain RQ with Retry(3), which the harness must see.

    python -m tests.chaos.plain work        a worker: DATABASE_URL, REDIS_URL

Each message stores a run of numbers, a hundred to a commit, as a first try at an import would.
"""

import os
import sys
import time

import psycopg
import redis
from rq import Queue, Retry, Worker
from rq.serializers import JSONSerializer

QUEUE = "plain"
TABLE = "plain_rows"
COMMIT_EVERY = 100


def store(first: int, count: int) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"]) as session:
        for number in range(first, first + count):
            session.execute(f"INSERT INTO {TABLE} VALUES (%s)", [number])
            if number % COMMIT_EVERY == 0:
                session.commit()
                time.sleep(0.01)


def queue(redis_url: str) -> Queue:
    return Queue(QUEUE, connection=redis.Redis.from_url(redis_url), serializer=JSONSerializer)


def push(redis_url: str, *, first: int, records: int, size: int) -> None:
    for start in range(first, first + records, size):
        queue(redis_url).enqueue(store, args=(start, size), retry=Retry(3))


def work() -> None:
    plain = queue(os.environ["REDIS_URL"])
    # RQ looks for what dead workers left as often as it can: its own settings take many minutes.
    worker = Worker(
        [plain],
        connection=plain.connection,
        serializer=JSONSerializer,
        worker_ttl=20,
        job_monitoring_interval=1,
        maintenance_interval=2,
    )
    worker.work(logging_level="ERROR")


if __name__ == "__main__" and sys.argv[1:] == ["work"]:
    work()
