import json
import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit.models import AuditEvent
from customers import directory, signing
from customers.enrolment import IssuedKey
from customers.models import Customer, HmacKey

pytestmark = pytest.mark.django_db


def run(*args: Any, **options: Any) -> str:
    out = StringIO()
    call_command(*args, stdout=out, **options)
    return out.getvalue()


def works(key_id: str, secret: str) -> bool:
    header = signing.sign_request(key_id, secret, method="GET", host="h", target="/")
    token = signing.parse_authorization(header)
    directory.forget()
    return directory.verify(token, signing.string_to_sign(token, "GET", "h", "/")) is not None


def test_create_customer_prints_one_json_object() -> None:
    printed = json.loads(
        run("create_customer", "Acme GmbH", "--json", "--network", "192.0.2.0/24", "--network", "::1/128")
    )
    assert set(printed) == {"customer", "keyId", "secret"}
    assert printed["customer"] == "acme-gmbh"
    assert Customer.objects.get(slug="acme-gmbh").allowed_networks == ["192.0.2.0/24", "::1/128"]
    assert works(printed["keyId"], printed["secret"])
    assert set(AuditEvent.objects.values_list("actor_kind", "actor_id")) == {("command", "create_customer")}


def test_create_customer_tells_people_what_to_do_next() -> None:
    printed = run("create_customer", "Acme", "--slug", "acme-eu")
    assert "Customer Acme (acme-eu) is ready." in printed
    assert "cannot be shown again" in printed
    assert "longshore push FILE --watch" in printed
    key_id = re.search(r"key id +(bk_\S+)", printed)
    secret = re.search(r"secret +(lsk_\S+)", printed)
    assert key_id
    assert secret
    assert works(key_id[1], secret[1])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("BigCorp",), "already"),
        (("Other", "--slug", "bigcorp"), "already"),
        (("Other", "--network", "office"), "no network"),
    ],
)
def test_create_customer_explains_a_refusal_and_exits_1(owner: Customer, args: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message) as caught:
        run("create_customer", *args)
    assert caught.value.returncode == 1


def test_rotate_key_keeps_both_working(issued: IssuedKey) -> None:
    printed = json.loads(run("rotate_key", issued.key_id, "--json"))
    assert works(issued.key_id, issued.secret)
    assert works(printed["keyId"], printed["secret"])
    assert printed["customer"] == "bigcorp"
    until = HmacKey.objects.get(key_id=issued.key_id).expires_at
    assert timedelta(hours=23) < until - timezone.now() <= timedelta(hours=24)


def test_rotate_key_says_until_when_the_old_one_works(issued: IssuedKey) -> None:
    printed = run("rotate_key", issued.key_id, "--overlap-hours", "2")
    until = HmacKey.objects.get(key_id=issued.key_id).expires_at
    assert f"Key {issued.key_id} works until {until:%Y-%m-%d %H:%M} UTC" in printed


@pytest.mark.parametrize("args", [("bk_unknown_01",), ("KEY", "--overlap-hours", "999")])
def test_rotate_key_explains_a_refusal(issued: IssuedKey, args: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run("rotate_key", *(issued.key_id if arg == "KEY" else arg for arg in args))


def test_revoke_key_ends_it_and_may_be_repeated(issued: IssuedKey) -> None:
    assert works(issued.key_id, issued.secret)
    assert "is revoked" in run("revoke_key", issued.key_id)
    assert not works(issued.key_id, issued.secret)
    assert "nothing changed" in run("revoke_key", issued.key_id)
    with pytest.raises(CommandError):
        run("revoke_key", "bk_unknown_01")
