"""Calls through crashes: every 202 is remembered and looked for after, and no Idempotency-Key makes two jobs."""

import hashlib
import json
import random
import threading
import time
from base64 import urlsafe_b64encode
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import httpx2

from customers import signing
from tests.chaos.blows import Database, strike, wait_until
from tests.chaos.house import ChaosHouse
from tests.chaos.importing import METADATA
from tests.chaos.report import Report
from tests.flows.house import Credentials

TARGET: Final = "/api/v1/imports/bulk"
MEDIA_TYPE: Final = "application/vnd.bigcorp.v1+json"
CUT: Final = 0
IN_FLIGHT: Final = 409
PATIENCE_SECONDS: Final = 60.0


@dataclass
class Posts(Report):
    """`answers` and `answers_in_parallel` count statuses; 0 is a connection that was refused or cut.

    `missing` counts acknowledged jobs that are gone, `doubled` those beyond one for an Idempotency-Key, `unfinished`
    those that nobody worked on.
    """

    crashes: int = 0
    blows: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    answers: dict[int, int] = field(default_factory=dict)
    keys_in_parallel: int = 0
    answers_in_parallel: dict[int, int] = field(default_factory=dict)
    acknowledged: int = 0
    missing: int = -1
    doubled: int = -1
    unfinished: int = -1
    never_acknowledged: int = 0
    refusals: dict[str, int] = field(default_factory=dict)
    without_retry_after: int = 0

    def faults(self) -> list[str]:
        found = [f"{status} was answered" for status in sorted(set(self.answers) - {202, 503})]
        allowed = {202, 503, IN_FLIGHT, CUT}
        found += [f"{status} was answered in parallel" for status in sorted(set(self.answers_in_parallel) - allowed)]
        found += ["nothing was acknowledged"] * (self.acknowledged == 0)
        for name in ("missing", "doubled", "unfinished", "never_acknowledged", "without_retry_after"):
            found += [f"{getattr(self, name)} {name}"] * (getattr(self, name) != 0)
        return found


@dataclass(frozen=True)
class Answer:
    status: int
    job: str = ""
    has_retry_after: bool = False
    code: str = ""


def run_posts(
    house: ChaosHouse, *, seed: int, crashes: int, seconds: float, per_second: int = 20, rounds: int = 5
) -> Posts:
    """One crash of the database in each equal part of the time; then `rounds` of equal calls at once under blows."""
    chance, posts = random.Random(seed), Posts(seed, crashes)
    who = house.enrol(f"Posts {seed}")
    house.struck.clear()
    database = Database(house)
    customer = f"(SELECT id FROM customers_customer WHERE slug = '{who.customer}')"
    database.number(
        "UPDATE customers_customer SET max_concurrent_imports = 1000, bulk_per_minute = 30000 "
        f"WHERE id = {customer} RETURNING 1"
    )
    jobs = _post_steadily(house, who, posts, chance, seconds, per_second)
    for number in range(rounds):
        jobs |= _post_in_parallel(house, who, posts, chance, number)
    posts.acknowledged, posts.blows = len(jobs), house.blows
    of_customer = f"FROM imports_importjob WHERE customer_id = {customer}"
    listed = ",".join(f"'{job}'" for job in jobs) or "NULL"
    unfinished = f"SELECT count(*) {of_customer} AND finished_at IS NULL"
    wait_until(lambda: database.number(unfinished) == 0, PATIENCE_SECONDS, step=0.1)
    posts.missing = len(jobs) - (database.number(f"SELECT count(*) {of_customer} AND uuid::text IN ({listed})") or 0)
    # Every key came with a body of its own.
    posts.doubled = database.number(f"SELECT count(*) - count(DISTINCT body_digest) {of_customer}") or 0
    posts.unfinished = database.number(unfinished) or 0
    database.close()
    return posts


def _post_steadily(
    house: ChaosHouse, who: Credentials, posts: Posts, chance: random.Random, seconds: float, per_second: int
) -> set[str]:
    """Each call is repeated under its key until it is acknowledged; every answer counts."""
    answers: Counter[int] = Counter()
    jobs: set[str] = set()
    lock = threading.Lock()

    def call(number: int) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = post(house.url, who, f"steady-{posts.seed}-{number}")
            with lock:
                answers[answer.status] += 1
                posts.without_retry_after += answer.status == 503 and not answer.has_retry_after
                if answer.job:
                    jobs.add(answer.job)
                    return
                if answer.status not in (503, CUT) or time.monotonic() > deadline:
                    posts.never_acknowledged += 1
                    posts.refusals[answer.code] = posts.refusals.get(answer.code, 0) + 1
                    return
            time.sleep(0.5)

    began = time.monotonic()
    due = [seconds * (place + chance.uniform(0.2, 0.8)) / posts.crashes for place in range(posts.crashes)]
    posts.calls = int(seconds * per_second)
    with ThreadPoolExecutor(200) as pool:
        waits: list[Future[object]] = []
        for number in range(posts.calls):
            time.sleep(max(0.0, began + number / per_second - time.monotonic()))
            waits.append(pool.submit(call, number))
            if due and time.monotonic() - began >= due[0]:
                due.pop(0)
                waits.append(pool.submit(strike, house, "crash", chance))
        for wait in waits:
            wait.result()
    posts.answers = dict(answers)
    return jobs


def _post_in_parallel(
    house: ChaosHouse, who: Credentials, posts: Posts, chance: random.Random, number: int, at_once: int = 12
) -> set[str]:
    """Equal calls under one key while Valkey is emptied and a web process dies, then again until each is answered."""
    answers: Counter[int] = Counter(posts.answers_in_parallel)
    jobs: set[str] = set()
    text = f"parallel-{posts.seed}-{number}"
    with ThreadPoolExecutor(at_once + 2) as pool:
        waits = [pool.submit(post, house.url, who, text) for _ in range(at_once)]
        blows = [pool.submit(strike, house, blow, chance) for blow in ("flush", "web")]
        found = [wait.result() for wait in waits]
        for blow in blows:
            blow.result()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        for answer in found:
            answers[answer.status] += 1
            posts.without_retry_after += answer.status == 503 and not answer.has_retry_after
            jobs |= {answer.job} - {""}
        if found[-1].job or time.monotonic() > deadline:
            break
        time.sleep(0.2)
        found = [post(house.url, who, text)]
    posts.keys_in_parallel += 1
    posts.never_acknowledged += not jobs
    posts.answers_in_parallel = dict(answers)
    return jobs


def post(url: str, who: Credentials, text: str) -> Answer:
    """One signed import of one record, whose Idempotency-Key and content are `text`."""
    sent = [{"id": text, "type": "order", "attributes": {"text": text}}]
    body = json.dumps({"metadata": METADATA, "records": sent}).encode()
    headers = {
        "Content-Type": MEDIA_TYPE,
        "Idempotency-Key": text,
        "Authorization": signing.sign_request(
            who.key_id,
            who.secret,
            method="POST",
            host=url.partition("//")[2],
            target=TARGET,
            content_type=MEDIA_TYPE,
            body_sha256=urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode(),
        ),
    }
    try:
        answer = httpx2.post(f"{url}{TARGET}", content=body, headers=headers, timeout=30)
    except httpx2.TransportError:
        return Answer(CUT)
    said = answer.json()
    return Answer(answer.status_code, said.get("jobId", ""), "retry-after" in answer.headers, said.get("code", ""))
