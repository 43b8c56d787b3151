"""HMAC keys that end soon: said once for each key and threshold, for whoever sends alerts and for the trail."""

from datetime import datetime
from typing import Final

from django.db import connection

from audit.trail import audited, record

THRESHOLD_DAYS: Final = (30, 14, 7, 1)
_AT_ONCE: Final = 500

# The nearest threshold only: a key that was found late is warned of once, and not four times in a row. A key issued for
# a shorter time than a threshold never passes it.
_WARN: Final = """
    INSERT INTO customers_keywarning (key_id, days, at)
    SELECT key.id, passed.days, %(now)s
    FROM customers_hmackey key
    JOIN customers_customer customer ON customer.id = key.customer_id AND customer.is_active
    JOIN LATERAL (
        SELECT min(days) AS days FROM unnest(%(thresholds)s) days
        WHERE key.expires_at <= %(now)s + days * interval '1 day'
            AND key.expires_at > key.not_before + days * interval '1 day'
    ) passed ON passed.days IS NOT NULL
    WHERE key.revoked_at IS NULL AND key.expires_at > %(now)s
        AND NOT EXISTS (SELECT 1 FROM customers_keywarning told WHERE told.key_id = key.id AND told.days = passed.days)
    ORDER BY key.id LIMIT %(most)s
    ON CONFLICT ON CONSTRAINT key_warning_once_a_threshold DO NOTHING
    RETURNING key_id, days
"""
_NAMES: Final = "SELECT id, key_id, customer_id FROM customers_hmackey WHERE id = ANY(%s)"


def warn(now: datetime) -> int:
    """A KeyWarning and an audit event for every live key that has passed a threshold since the last call; how many.

    Any number of sweepers may call it: each warning is made once. Callers stand inside acting_as().
    """
    warned = 0
    while True:
        count = _warn_some(now)
        warned += count
        if count < _AT_ONCE:
            return warned


def _warn_some(now: datetime) -> int:
    with audited(), connection.cursor() as cursor:
        cursor.execute(_WARN, {"now": now, "thresholds": list(THRESHOLD_DAYS), "most": _AT_ONCE})
        passed = cursor.fetchall()
        cursor.execute(_NAMES, [[key_pk for key_pk, _ in passed]])
        keys = {key_pk: (key_id, customer_id) for key_pk, key_id, customer_id in cursor.fetchall()}
        for key_pk, days in passed:
            key_id, customer_id = keys[key_pk]
            record("key.expiring", target=f"key:{key_id}", customer_id=customer_id, detail={"days": days})
    return len(passed)
