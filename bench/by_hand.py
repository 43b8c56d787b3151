"""The mapping of bench.mapping as somebody would write it for these records alone, with the same checks.

It stops at a record's first problem, where the engine goes on to list all of them; one that fits costs it the same.
"""

from datetime import date
from typing import Any

from msgspec import Raw

SEGMENTS = {"enterprise": "E", "mid-market": "M", "small": "S", "public": "P"}
ATTRIBUTES = {"name", "email", "phone", "street", "city", "balance", "active", "since"}
CUSTOM_FIELDS = {"segment", "owner", "externalRef", "note"}


class Wrong(Exception):
    pass


def map_by_hand(
    _id: str, _type: str, attributes: dict[str, Any], custom_fields: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    if not attributes.keys() <= ATTRIBUTES or not custom_fields.keys() <= CUSTOM_FIELDS:
        raise Wrong("a field has no rule")
    mapped: dict[str, Any] = {}
    name = attributes.get("name")
    if not isinstance(name, str):
        raise Wrong("name")
    mapped["name"] = name.strip()
    contact: dict[str, Any] = {}
    email = attributes.get("email")
    if not isinstance(email, str):
        raise Wrong("email")
    contact["email"] = email.strip().lower()
    phone = attributes.get("phone")
    if phone is not None:
        if not isinstance(phone, str):
            raise Wrong("phone")
        contact["phone"] = phone.replace(" ", "")
    mapped["contact"] = contact
    address: dict[str, Any] = {}
    street = attributes.get("street")
    if street is not None:
        if not isinstance(street, str):
            raise Wrong("street")
        address["street"] = street.strip()
    city = attributes.get("city")
    if city is not None:
        if not isinstance(city, str):
            raise Wrong("city")
        address["city"] = city.upper()
    if address:
        mapped["address"] = address
    balance = attributes.get("balance")
    if not isinstance(balance, Raw | int) or isinstance(balance, bool):
        raise Wrong("balance")
    mapped["balance"] = balance
    active = attributes.get("active", True)
    if not isinstance(active, bool):
        raise Wrong("active")
    mapped["active"] = active
    since = attributes.get("since")
    if since is not None:
        if not isinstance(since, str) or len(since) != 10:
            raise Wrong("since")
        try:
            date.fromisoformat(since)
        except ValueError:
            raise Wrong("since") from None
        mapped["customerSince"] = since
    segment = custom_fields.get("segment")
    if segment is not None:
        if segment not in SEGMENTS:
            raise Wrong("segment")
        mapped["segment"] = SEGMENTS[segment]
    custom: dict[str, Any] = {}
    owner = custom_fields.get("owner", "nobody")
    if len(owner) > 1024:
        raise Wrong("owner")
    custom["owner"] = owner
    reference = custom_fields.get("externalRef")
    if reference is not None:
        reference = "CRM-" + reference
        if len(reference) > 1024:
            raise Wrong("externalRef")
        custom["crmRef"] = reference
    note = custom_fields.get("note")
    if note is not None:
        note = note.strip()
        if note:
            if len(note) > 1024:
                raise Wrong("note")
            custom["note"] = note
    return mapped, custom
