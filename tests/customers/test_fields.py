import copy
import pickle
import traceback
from datetime import timedelta
from typing import Any

import pytest
from django.core import checks, serializers
from django.core.exceptions import FieldError
from django.db import DatabaseError, connection, models, transaction
from django.utils import timezone

from customers.cipher import DecryptionError
from customers.enrolment import IssuedKey, issue_key
from customers.fields import EncryptedTextField
from customers.models import Customer, HmacKey

pytestmark = pytest.mark.django_db


def stored(key: HmacKey) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM customers_hmackey WHERE id = %s", [key.pk])
        return bytes(cursor.fetchone()[0])


def store(key: HmacKey, blob: bytes) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE customers_hmackey SET secret = %s WHERE id = %s", [blob, key.pk])


def reloaded(key: HmacKey) -> HmacKey:
    return HmacKey.objects.get(pk=key.pk)


def test_the_database_holds_ciphertext_and_reveal_gives_the_text(issued: IssuedKey) -> None:
    blob = stored(issued.key)
    assert issued.secret.encode() not in blob
    assert blob[0] == 1
    assert reloaded(issued.key).secret.reveal() == issued.secret


@pytest.mark.parametrize("form", ["repr", "str", "format", "percent", "instance", "dict", "template", "traceback"])
@pytest.mark.parametrize("state", ["assigned", "saved", "loaded"])
def test_the_text_shows_in_no_printed_form(owner: Customer, issued: IssuedKey, form: str, state: str) -> None:
    key = {
        "assigned": HmacKey(key_id="bk_assigned", customer=owner, secret=issued.secret),
        "saved": issued.key,
        "loaded": reloaded(issued.key),
    }[state]
    secret = key.secret
    if form == "traceback":
        try:
            raise LookupError(secret)
        except LookupError:
            shown = traceback.format_exc()
    else:
        shown = {
            "repr": repr(secret),
            "str": str(secret),
            "format": f"{secret} {secret!r}",
            "percent": "%s %r" % (secret, secret),  # noqa: UP031
            "instance": repr(key) + str(key),
            "dict": repr(vars(key)) + repr([vars(key)]),
            "template": _rendered(key),
        }[form]
    assert issued.secret not in shown
    assert issued.secret[4:20] not in shown


def _rendered(key: HmacKey) -> str:
    from django.template import Context, Engine

    return Engine().from_string("{{ key.secret }} {{ key.secret|pprint }}").render(Context({"key": key}))


def test_pickles_hold_no_text(owner: Customer, issued: IssuedKey) -> None:
    for key in (issued.key, reloaded(issued.key)):
        dumped = pickle.dumps(key)
        assert issued.secret.encode() not in dumped
        assert pickle.loads(dumped).secret.reveal() == issued.secret
        with pytest.raises(TypeError):
            pickle.dumps(key.secret)
    unsaved = HmacKey(key_id="bk_unsaved1", customer=owner, secret=issued.secret)
    with pytest.raises(TypeError):
        pickle.dumps(unsaved)
    assert copy.deepcopy(unsaved).secret.reveal() == issued.secret


def test_it_is_not_serialised(issued: IssuedKey) -> None:
    with pytest.raises(TypeError, match="pg_dump"):
        serializers.serialize("json", [issued.key])


@pytest.mark.parametrize(
    "lookup", ["secret", "secret__exact", "secret__isnull", "secret__in", "secret__contains", "secret__x"]
)
def test_it_is_never_looked_up_by(issued: IssuedKey, lookup: str) -> None:
    with pytest.raises(FieldError, match="encrypted"):
        HmacKey.objects.filter(**{lookup: [issued.secret]}).count()


def test_it_is_written_by_saving_its_row_only(owner: Customer, issued: IssuedKey) -> None:
    for value in ("text", b"bytes", models.F("scopes"), issued.key.secret):
        with pytest.raises((TypeError, FieldError, DatabaseError)), transaction.atomic():
            HmacKey.objects.filter(pk=issued.key.pk).update(secret=value)
    for value in (b"bytes", 7, models.F("label"), models.Value("text")):
        with pytest.raises(TypeError):
            HmacKey(key_id="bk_unsaved1", customer=owner, secret=value)
    key = reloaded(issued.key)
    key.secret = "new text"
    with pytest.raises(TypeError), transaction.atomic():
        HmacKey.objects.bulk_update([key], ["secret"])
    assert reloaded(issued.key).secret.reveal() == issued.secret


def test_a_new_text_is_sealed_anew(issued: IssuedKey) -> None:
    key, before = reloaded(issued.key), stored(issued.key)
    key.secret = "åäö 🚢"
    assert key.secret.reveal() == "åäö 🚢"
    key.save(update_fields=["secret"])
    assert key.secret.reveal() == reloaded(key).secret.reveal() == "åäö 🚢"
    assert stored(key) != before


def test_saving_the_row_again_keeps_the_secret(issued: IssuedKey) -> None:
    key = reloaded(issued.key)
    key.label = "renamed"
    key.save()
    key.full_clean()
    assert reloaded(key).secret.reveal() == issued.secret


def test_bulk_create_seals(owner: Customer) -> None:
    now = timezone.now()
    keys = [
        HmacKey(
            key_id=f"bk_bulk_{number}",
            customer=owner,
            secret=f"text {number}",
            scopes=["imports:read"],
            not_before=now,
            expires_at=now + timedelta(days=1),
        )
        for number in range(3)
    ]
    HmacKey.objects.bulk_create(keys)
    assert [HmacKey.objects.get(key_id=f"bk_bulk_{n}").secret.reveal() for n in range(3)] == [
        "text 0",
        "text 1",
        "text 2",
    ]


def test_a_deferred_secret_is_fetched_when_asked_for(issued: IssuedKey) -> None:
    key = HmacKey.objects.defer("secret").get(pk=issued.key.pk)
    assert "secret" in key.get_deferred_fields()
    assert key.secret.reveal() == issued.secret
    key.refresh_from_db()
    assert key.secret.reveal() == issued.secret


def test_values_give_nothing_away(issued: IssuedKey) -> None:
    for row in (HmacKey.objects.values("secret").get(), HmacKey.objects.values_list("secret").get()):
        assert issued.secret not in repr(row)
        assert "Secret(…)" in repr(row)


def test_a_ciphertext_of_another_row_does_not_open(owner: Customer, issued: IssuedKey) -> None:
    other = issue_key(owner).key
    store(issued.key, stored(other))
    with pytest.raises(DecryptionError):
        reloaded(issued.key).secret.reveal()
    assert reloaded(other).secret.reveal()


def test_a_ciphertext_of_another_customer_does_not_open(issued: IssuedKey, stranger: Customer) -> None:
    theirs = HmacKey.objects.get(customer=stranger)
    HmacKey.objects.filter(pk=issued.key.pk).update(customer=stranger)
    with pytest.raises(DecryptionError):
        reloaded(issued.key).secret.reveal()
    assert reloaded(theirs).secret.reveal()


def test_any_flipped_byte_is_refused(issued: IssuedKey) -> None:
    blob = stored(issued.key)
    for position in range(0, len(blob), 3):
        store(issued.key, blob[:position] + bytes([blob[position] ^ 1]) + blob[position + 1 :])
        with pytest.raises(DecryptionError):
            reloaded(issued.key).secret.reveal()


def test_a_row_that_could_not_be_read_again_is_not_saved(owner: Customer, issued: IssuedKey) -> None:
    renamed = reloaded(issued.key)
    renamed.key_id = "bk_renamed_0001"
    with pytest.raises(DecryptionError), transaction.atomic():
        renamed.save()
    duplicate = reloaded(issued.key)
    duplicate.pk, duplicate.key_id = None, "bk_copied_00001"
    with pytest.raises(DecryptionError), transaction.atomic():
        duplicate.save()
    pending = HmacKey(key_id="bk_unsaved1", customer=owner, secret="text")
    with pytest.raises(TypeError, match="reveal"):
        duplicate.secret = pending.secret


def test_a_model_without_an_owner_is_refused_by_a_check() -> None:
    class Ownerless(models.Model):
        secret = EncryptedTextField()

        class Meta:
            app_label = "customers_test_ownerless"

        def __str__(self) -> str:
            return "ownerless"

    found: list[Any] = Ownerless._meta.get_field("secret").check()
    assert [message.id for message in found if isinstance(message, checks.Error)] == ["longshore.E020"]
