"""The spine: real records through the public door, into encrypted storage, and back out."""

import json
from pathlib import Path

from tests.flows.foreign import Answer, call
from tests.flows.house import House


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
