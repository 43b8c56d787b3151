"""A key's end is announced ahead, once for each threshold, whoever looks and however often."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from audit.context import Actor, acting_as
from audit.models import AuditEvent
from customers.enrolment import IssuedKey, create_customer, issue_key, revoke_key, rotate_key
from customers.expiry import warn
from customers.models import Customer, KeyWarning

NOW = timezone.now()
DAY = timedelta(days=1)


def warnings() -> list[int]:
    return list(KeyWarning.objects.order_by("pk").values_list("days", flat=True))


@pytest.mark.django_db
def test_each_threshold_is_said_once(issued: IssuedKey) -> None:
    end = issued.key.expires_at
    for ahead, expected in ((31, []), (30, [30]), (29, [30]), (14, [30, 14]), (7, [30, 14, 7]), (1, [30, 14, 7, 1])):
        warn(end - ahead * DAY)
        assert warn(end - ahead * DAY) == 0
        assert warnings() == expected
    warn(end)
    assert warnings() == [30, 14, 7, 1]
    events = AuditEvent.objects.filter(action="key.expiring").order_by("sequence")
    assert [event.detail for event in events] == [{"days": days} for days in (30, 14, 7, 1)]
    assert {event.target for event in events} == {f"key:{issued.key_id}"}


@pytest.mark.django_db
def test_a_key_found_late_is_warned_of_by_its_nearest_threshold(issued: IssuedKey) -> None:
    assert warn(issued.key.expires_at - 5 * DAY) == 1
    assert warnings() == [7]


@pytest.mark.django_db
def test_a_key_issued_for_a_week_passes_the_last_threshold_only(owner: Customer) -> None:
    short = issue_key(owner, expires_in_days=7, now=NOW)
    assert warn(NOW) == 0
    assert warn(short.key.expires_at - DAY) == 1
    assert warnings() == [1]


@pytest.mark.django_db
def test_dead_keys_are_not_warned_of(owner: Customer, issued: IssuedKey) -> None:
    end = issued.key.expires_at
    revoke_key(issued.key)
    assert warn(end - DAY) == 0
    replaced = issue_key(owner, now=NOW)
    rotate_key(replaced.key, overlap_hours=0, now=NOW)
    assert warn(NOW + DAY) == 0
    Customer.objects.update(is_active=False)
    assert warn(NOW + 89 * DAY) == 0


@pytest.mark.django_db(transaction=True)
def test_twenty_sweepers_warn_once() -> None:
    customer, first = create_customer("Watched")
    for _ in range(9):
        issue_key(customer)

    def look(_number: int) -> int:
        try:
            with acting_as(Actor("system", "sweeper")):
                return warn(first.key.expires_at - 6 * DAY)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(look, range(20))) == 10
    assert AuditEvent.objects.filter(action="key.expiring").count() == 10
