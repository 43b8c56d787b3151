"""Reads back every record of a customer through the keyring, in a process of the house: what is really there."""

import json
import os
import sys
from collections import Counter
from itertools import pairwise
from typing import Any


def main(slug: str) -> dict[str, Any]:
    from customers.keyring import keyring
    from customers.models import Customer
    from imports import storing
    from imports.models import BatchAttempt, FailedRecord, ImportBatch, ImportJob, Record

    customer = Customer.objects.get(slug=slug)
    opener = keyring(customer.pk).opener("imports_record", "payload")
    numbers: Counter[int] = Counter()
    versions: dict[int, int] = {}
    wrong = 0
    rows = Record.objects.filter(customer=customer).values_list("type", "key", "payload").iterator(chunk_size=5000)
    for record_type, key, payload in rows:
        content = json.loads(opener.open(bytes(payload), storing.record_row(record_type, bytes(key))))
        number = content["attributes"]["n"]
        numbers[number] += 1
        versions[number] = content["attributes"].get("version", 0)
        wrong += content["id"] != f"K{number:07d}"
    jobs = list(ImportJob.objects.filter(customer=customer).order_by("pk"))
    batches = list(ImportBatch.objects.filter(job__in=jobs).order_by("job_id", "first_index"))
    outcomes = b"".join(bytes(batch.outcomes or b"") for batch in batches)
    attempts = Counter(
        BatchAttempt.objects.filter(customer_id=customer.pk).values_list("batch_id", flat=True).iterator()
    )
    done = BatchAttempt.objects.filter(customer_id=customer.pk, end="done").order_by("started_at")
    return {
        "rows": sum(numbers.values()),
        "distinct": len(numbers),
        "lowest": min(numbers, default=-1),
        "highest": max(numbers, default=-1),
        "wrong": wrong,
        "doubled": sum(count - 1 for count in numbers.values()),
        "jobs": {str(job.uuid): job.status for job in jobs},
        "total": sum(job.total for job in jobs),
        "processed": sum(job.processed for job in jobs),
        "outcomes": {chr(byte): count for byte, count in Counter(outcomes).items()},
        "gaps": sum(
            after.job_id == before.job_id and after.first_index != before.first_index + before.record_count
            for before, after in pairwise(batches)
        ),
        "failed": list(
            FailedRecord.objects.filter(customer=customer).order_by("index").values_list("index", "code")[:20]
        ),
        "batches": len(batches),
        "executions": sum(attempts.values()),
        "most_executions": max(attempts.values(), default=0),
        "done": [
            (began.timestamp(), ended.timestamp())
            for began, ended in done.values_list("started_at", "ended_at")
            if ended is not None
        ],
        "unequal": sum(not _is_equal(job, [batch for batch in batches if batch.job_id == job.pk]) for job in jobs),
        "unfinished": sum(not job.is_finished for job in jobs),
        "superseded": sum(job.superseded for job in jobs),
        "versions": sorted(versions.items()) if any(versions.values()) else [],
        "never_ended": BatchAttempt.objects.filter(customer_id=customer.pk, ended_at__isnull=True).count(),
    }


def _is_equal(job: Any, batches: list[Any]) -> bool:
    """Law 3: the counters are what the batches' outcomes say, and all of them are the records received."""
    said = Counter(b"".join(bytes(batch.outcomes or b"") for batch in batches).decode())
    counted = {"c": job.created, "u": job.updated, "=": job.unchanged, "s": job.superseded, "f": job.failed}
    return bool(
        {letter: count for letter, count in counted.items() if count} == dict(said)
        and job.total == job.processed + job.unprocessed == sum(counted.values()) + job.unprocessed
    )


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    sys.stdout.write(json.dumps(main(sys.argv[1])))
