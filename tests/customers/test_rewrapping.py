"""A new master key takes over without a record being touched, and says when the old one may go."""

import time
from base64 import b64encode
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from audit.models import AuditEvent
from config.doctor import data
from config.doctor.finding import State
from customers import keyring as rings
from customers import master_keys, rewrapping
from customers.keyring import keyring
from customers.models import Customer, DataKey

ROW = b"row"
NEW = "n2:" + b64encode(bytes(range(100, 132))).decode()


@pytest.fixture
def both(settings: Settings) -> str:
    """The new master key stands in front of the old one, whose id is returned."""
    old = master_keys.current().ids[0]
    settings.MASTER_KEYS = f"{NEW},{settings.MASTER_KEYS}"
    return old


@pytest.mark.django_db
def test_every_key_is_rewrapped_and_opens_what_it_opened(owner: Customer, stranger: Customer, both: str) -> None:
    blob = keyring(owner.pk).sealer("t", "c").seal(b"value", ROW)
    DataKey.objects.filter(customer=stranger, purpose="secret").update(state="destroyed", wrapped=None)
    assert rewrapping.in_use() == {both: 5}
    out = StringIO()
    call_command("rewrap_data_keys", stdout=out)
    assert "5 data keys rewrapped" in out.getvalue()
    assert rewrapping.in_use() == {"n2": 5}
    assert rewrapping.rewrap() == 0
    event = AuditEvent.objects.get(action="data_key.rewrapped")
    assert (event.target, event.record_count) == ("master_key:n2", 5)
    rings.forget()
    assert keyring(owner.pk).opener("t", "c").open(blob, ROW) == b"value"


@pytest.mark.django_db
def test_the_old_master_key_may_go_after_it(owner: Customer, both: str, settings: Settings) -> None:
    blob = keyring(owner.pk).sealer("t", "c").seal(b"value", ROW)
    rewrapping.rewrap()
    settings.MASTER_KEYS = NEW
    rings.forget()
    assert keyring(owner.pk).opener("t", "c").open(blob, ROW) == b"value"


@pytest.mark.django_db
def test_a_missing_master_key_is_named_and_nothing_is_lost(owner: Customer, settings: Settings) -> None:
    before = list(DataKey.objects.values_list("pk", "wrapped"))
    settings.MASTER_KEYS = NEW
    with pytest.raises(CommandError, match="Put it back"):
        call_command("rewrap_data_keys")
    assert list(DataKey.objects.values_list("pk", "wrapped")) == before


@pytest.mark.django_db
def test_the_doctor_says_which_master_keys_are_in_use(owner: Customer, both: str) -> None:
    finding = data.data_keys()
    assert finding.state is State.WARNING
    assert f"{both} wraps 3" in finding.says
    assert "rewrap_data_keys" in finding.says
    rewrapping.rewrap()
    finding = data.data_keys()
    assert finding.state is State.OK
    assert "n2 wraps 3" in finding.says
    assert f"{both} wraps none" in finding.says


@pytest.mark.django_db
def test_a_thousand_customers_take_seconds(settings: Settings) -> None:
    customers = Customer.objects.bulk_create(Customer(name=f"Bulk {n}", slug=f"bulk-{n}") for n in range(1000))
    for customer in customers:
        rings.create_keys(customer)
    settings.MASTER_KEYS = f"{NEW},{settings.MASTER_KEYS}"
    began = time.monotonic()
    assert rewrapping.rewrap() == 3000
    assert time.monotonic() - began < 10
    assert rewrapping.in_use() == {"n2": 3000}
