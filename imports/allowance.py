"""What a customer may do and how much of it is used: the answer to GET /limits."""

from typing import Any

from customers.models import Customer
from customers.quotas import Quota, quotas_of
from imports import checking, parts
from imports.json_document import MAX_RECORDS
from imports.models import ImportJob
from imports.opening import MAX_OPEN_JOBS


def describe(customer_id: int, *, max_body_bytes: int, max_unpacked_bytes: int) -> dict[str, Any]:
    """Quotas, running imports and the sizes of a body, as they are now. Counts nothing itself."""
    customer = Customer.objects.get(pk=customer_id)
    return {
        "quotas": [_use_of(quota) for quota in quotas_of(customer).values()],
        "imports": {
            "running": ImportJob.objects.filter(customer_id=customer_id).running().count(),
            "maxRunning": customer.max_concurrent_imports,
            "open": ImportJob.objects.filter(customer_id=customer_id).open().count(),
            "maxOpen": MAX_OPEN_JOBS,
            "maxBytes": parts.max_bytes(),
        },
        "body": {
            "maxBytes": max_body_bytes,
            "maxUnpackedBytes": max_unpacked_bytes,
            "maxRecords": MAX_RECORDS,
            "maxRecordBytes": checking.MAX_RECORD_BYTES,
            "maxDepth": checking.MAX_DEPTH,
            "maxCustomFields": checking.MAX_CUSTOM_FIELDS,
        },
    }


def _use_of(quota: Quota) -> dict[str, Any]:
    use = quota.look()
    return {
        "name": quota.name,
        "limit": quota.limit,
        "used": max(0, quota.limit - use.remaining),
        "remaining": use.remaining,
        "windowSeconds": quota.seconds,
        "resetSeconds": use.reset_seconds,
    }
