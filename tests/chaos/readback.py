"""Reads back every record of a customer through the keyring, in a process of the house: what is really there."""

import json
import os
import sys
from collections import Counter
from itertools import pairwise
from typing import Any


def main(slug: str, first_job: int) -> dict[str, Any]:
    from customers.keyring import keyring
    from customers.models import Customer
    from imports import storing
    from imports.models import BatchAttempt, FailedRecord, ImportBatch, ImportJob, Record

    customer = Customer.objects.get(slug=slug)
    opener = keyring(customer.pk).opener("imports_record", "payload")
    numbers: Counter[int] = Counter()
    wrong = 0
    rows = Record.objects.filter(customer=customer).values_list("type", "key", "payload").iterator(chunk_size=5000)
    for record_type, key, payload in rows:
        content = json.loads(opener.open(bytes(payload), storing.record_row(record_type, bytes(key))))
        number = content["attributes"]["n"]
        numbers[number] += 1
        wrong += content["id"] != f"K{number:07d}"
    jobs = list(ImportJob.objects.filter(customer=customer, pk__gte=first_job).order_by("pk"))
    batches = list(ImportBatch.objects.filter(job__in=jobs).order_by("job_id", "first_index"))
    outcomes = b"".join(bytes(batch.outcomes or b"") for batch in batches)
    attempts = Counter(
        BatchAttempt.objects.filter(customer_id=customer.pk).values_list("batch_id", flat=True).iterator()
    )
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
        "never_ended": BatchAttempt.objects.filter(customer_id=customer.pk, ended_at__isnull=True).count(),
    }


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    sys.stdout.write(json.dumps(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)))
