"""What the key commands share: finding a key by its public id, and printing a new one once."""

import json

from django.core.management.base import BaseCommand, CommandError

from customers.enrolment import IssuedKey
from customers.models import Customer, HmacKey


def find_key(key_id: str) -> HmacKey:
    """The key, with its customer; CommandError where there is none."""
    key = HmacKey.objects.select_related("customer").filter(key_id=key_id).first()
    if key is None:
        raise CommandError(f"There is no key {key_id}. The admin lists the keys of every customer.")
    return key


def write_issued(command: BaseCommand, headline: str, customer: Customer, issued: IssuedKey, *, as_json: bool) -> None:
    """The headline, the new key and what to do next; or one JSON object {customer, keyId, secret}."""
    if as_json:
        command.stdout.write(json.dumps({"customer": customer.slug, "keyId": issued.key_id, "secret": issued.secret}))
        return
    command.stdout.write(command.style.SUCCESS(headline))
    command.stdout.write("")
    command.stdout.write(f"  key id   {issued.key_id}")
    command.stdout.write(f"  secret   {issued.secret}")
    command.stdout.write(f"  valid    until {issued.key.expires_at:%Y-%m-%d}")
    command.stdout.write("")
    command.stdout.write("Store the secret now: it cannot be shown again.")
    command.stdout.write("A first call with it:")
    command.stdout.write("")
    command.stdout.write(f"  export LONGSHORE_KEY_ID={issued.key_id} LONGSHORE_SECRET={issued.secret}")
    command.stdout.write("  longshore push FILE --watch")
