"""The spine: real records through the public door, into encrypted storage, and back out."""

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec

from imports import checking
from tests.flows.foreign import Answer, call
from tests.flows.house import ROOT, House

EXAMPLE = ROOT / "docs" / "examples" / "northwind.yaml"
GOLDEN = ROOT / "tests" / "imports" / "mapping" / "northwind.json"


class Found(msgspec.Struct):
    record: checking.Record


def test_northwind_goes_in_whole_and_is_unchanged_when_pushed_again(house: House, northwind: Path) -> None:
    credentials = house.enrol("Northwind")
    sent = json.loads(northwind.read_text())["records"]

    first = house.longshore(credentials, "push", str(northwind), "--watch", "--json")
    assert first.returncode == 0, first.stdout + first.stderr
    status = json.loads(first.stdout)
    assert status["progress"] == {"total": 998, "processed": 998, "failed": 0}
    assert status["outcomes"]["created"] == 998

    again = json.loads(house.longshore(credentials, "push", str(northwind), "--watch", "--json").stdout)
    assert again["outcomes"] == {"created": 0, "updated": 0, "unchanged": 998, "superseded": 0, "unprocessed": 0}

    with house.client(credentials) as client:
        for record in sent[::97]:
            found = client.lookup(record["type"], record["id"])["record"]
            assert found["attributes"] == record["attributes"]
            assert found.get("customFields", {}) == record["customFields"]
        lines = list(client.results(status["jobId"], "succeeded"))
    assert [line["record"] for line in lines] == [record["id"] for record in sent]
    assert [line["index"] for line in lines] == list(range(998))


def test_northwind_is_stored_as_the_example_maps_it(house: House, northwind: Path) -> None:
    """Every record is looked up and held against the golden digests, digit by digit."""
    credentials = house.enrol("Mapped Northwind")
    house.manage("mappings", "apply", str(EXAMPLE), "--customer", credentials.customer)
    sent = json.loads(northwind.read_text())["records"]

    status = json.loads(house.longshore(credentials, "push", str(northwind), "--watch", "--json").stdout)
    assert status["mappings"] == {"customer": 1, "order": 1, "product": 1}
    assert status["progress"] == {"total": 998, "processed": 998, "failed": 0}
    assert status["outcomes"]["created"] == 998
    again = json.loads(house.longshore(credentials, "push", str(northwind), "--watch", "--json").stdout)
    assert again["outcomes"]["unchanged"] == 998

    read = msgspec.json.Decoder(Found, float_hook=msgspec.Raw).decode
    digests: dict[str, Any] = defaultdict(hashlib.sha256)
    for item in sent:
        body = json.dumps({"type": item["type"], "id": item["id"]}).encode()
        key = (house.url, credentials.key_id, credentials.secret)
        record = read(call(*key, "POST", "/api/v1/records/lookup", body=body).body).record
        digests[record.type].update(checking.encode([record.id, record.attributes, record.customFields or {}]) + b"\n")
    golden = {kind: of_kind["sha256"] for kind, of_kind in json.loads(GOLDEN.read_text()).items()}
    assert {kind: digest.hexdigest() for kind, digest in digests.items()} == golden


def test_a_stranger_sees_nothing_of_another_customers_import(house: House, northwind: Path) -> None:
    owner, stranger = house.enrol("Owner"), house.enrol("Stranger")
    job = json.loads(house.longshore(owner, "push", str(northwind), "--watch", "--json").stdout)["jobId"]

    def ask(method: str, target: str, body: bytes = b"") -> Answer:
        return call(house.url, stranger.key_id, stranger.secret, method, target, body=body)

    for method, target in (
        ("GET", f"/api/v1/imports/{job}"),
        ("GET", f"/api/v1/imports/{job}/results/succeeded"),
        ("POST", f"/api/v1/imports/{job}/cancel"),
        ("POST", f"/api/v1/imports/{job}/socket-ticket"),
    ):
        refused = ask(method, target)
        assert (refused.status, refused.json()["code"]) == (404, "not_found"), target
    assert ask("POST", "/api/v1/records/lookup", b'{"type":"customer","id":"ALFKI"}').status == 404
    assert ask("GET", "/api/v1/imports").json() == {"imports": [], "next": None}


def test_the_trail_of_a_journey_is_whole(house: House, northwind: Path) -> None:
    credentials = house.enrol("Trailed")
    house.longshore(credentials, "push", str(northwind), "--watch", "--json")
    verdict = json.loads(house.manage("verify_audit", "--json"))
    assert verdict["unbroken"] is True
    assert verdict["count"] >= 4  # customer, key, accepted, completed
