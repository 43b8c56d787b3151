"""The same records in every form that a caller may send them in."""

import csv
import gzip
import io
import json
from typing import Any

import pytest

from tests.flows.foreign import JSON, Answer, call
from tests.flows.house import Credentials, House

NDJSON = "application/vnd.bigcorp.v1+ndjson"
NOTHING = {"created": 0, "updated": 0, "unchanged": 0, "superseded": 0, "unprocessed": 0, "failed": 0}
METADATA = {"source": "crm", "version": "1.0.0", "timestamp": "2024-03-15T00:00:00Z"}
RECORDS: list[dict[str, Any]] = [
    {
        "id": f"C-{number}",
        "type": "customer",
        "attributes": {"name": f"Zoë {number}", "city": "Łódź"},
        "customFields": {"tier": "gold"},
    }
    for number in range(50)
]


def _json() -> bytes:
    return json.dumps({"metadata": METADATA, "records": RECORDS}, ensure_ascii=False).encode()


def _ndjson() -> bytes:
    return b"\n".join(json.dumps(line).encode() for line in [{"metadata": METADATA}, *RECORDS])


def _csv() -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["id", "name", "city", "custom.tier"])
    for record in RECORDS:
        writer.writerow([record["id"], *record["attributes"].values(), record["customFields"]["tier"]])
    return text.getvalue().encode()


CSV_TARGET = "/api/v1/imports/bulk?type=customer&source=crm&version=1.0.0&timestamp=2024-03-15T00:00:00Z"


@pytest.fixture(scope="module")
def credentials(house: House) -> Credentials:
    return house.enrol("Bodies")


def _push(house: House, credentials: Credentials, target: str, body: bytes, **headers: str) -> Answer:
    content_type = headers.pop("content_type", JSON)
    return call(
        house.url,
        credentials.key_id,
        credentials.secret,
        "POST",
        target,
        body=body,
        content_type=content_type,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def _outcomes(house: House, credentials: Credentials, answer: Answer) -> dict[str, int]:
    assert answer.status == 202, answer.body
    with house.client(credentials) as client:
        for _ in client.watch(answer.json()["jobId"]):
            continue
        status = client.status(answer.json()["jobId"])
    assert status["status"] == "completed"
    return {**status["outcomes"], "failed": status["progress"]["failed"]}


def test_every_form_means_the_same_records(house: House, credentials: Credentials) -> None:
    bulk = "/api/v1/imports/bulk"
    first = _outcomes(house, credentials, _push(house, credentials, bulk, _json()))
    assert first["created"] == len(RECORDS)
    forms: list[tuple[str, bytes, dict[str, str]]] = [
        (bulk, _ndjson(), {"content_type": NDJSON}),
        (CSV_TARGET, _csv(), {"content_type": "text/csv"}),
        (bulk, gzip.compress(_json()), {"Content_Encoding": "gzip"}),
        (bulk, gzip.compress(_ndjson()), {"content_type": NDJSON, "Content_Encoding": "gzip"}),
    ]
    for target, body, headers in forms:
        # One after the other: of two jobs under way, the newer may be done first and supersede the older's records.
        again = _outcomes(house, credentials, _push(house, credentials, target, body, **headers))
        assert again == {**NOTHING, "unchanged": len(RECORDS)}


def test_the_202_is_what_the_contract_says(house: House, credentials: Credentials) -> None:
    answer = _push(house, credentials, "/api/v1/imports/bulk", _json())
    content = answer.json()
    assert set(content) == {"jobId", "status", "progress", "links"}
    assert (content["status"], content["progress"]) == ("pending", {"total": 50, "processed": 0, "failed": 0})
    assert answer.headers["location"] == content["links"]["status"] == f"/api/v1/imports/{content['jobId']}"
    assert answer.headers["x-request-id"]


def test_the_same_idempotency_key_gives_the_same_job(house: House, credentials: Credentials) -> None:
    answers = [
        _push(house, credentials, "/api/v1/imports/bulk", _json(), Idempotency_Key=key)
        for key in ("night-1", '"night-1"', "night-2")
    ]
    jobs = [answer.json()["jobId"] for answer in answers]
    assert jobs[0] == jobs[1] != jobs[2]
    other = _push(house, credentials, "/api/v1/imports/bulk", _ndjson(), content_type=NDJSON, Idempotency_Key="night-1")
    assert (other.status, other.json()["code"]) == (422, "idempotency_key_reused")


def test_a_dry_run_says_what_an_import_would_do_and_stores_nothing(house: House, credentials: Credentials) -> None:
    new = json.dumps(
        {
            "metadata": METADATA,
            "records": [
                {"id": "NEW-1", "type": "customer", "attributes": {"name": "New"}},
                {"id": "NEW-2", "type": "client", "attributes": {}},
                RECORDS[0],
            ],
        }
    ).encode()
    for _ in range(2):
        verdict = _push(house, credentials, "/api/v1/imports/validate", new).json()
        assert (verdict["valid"], verdict["total"], verdict["failed"]) == (False, 3, 1)
        assert verdict["would"]["create"] == 1
        assert verdict["errors"][0]["record"] == "NEW-2"
        assert verdict["errorSummary"] == [{"code": "unknown_type", "pointer": "/type", "count": 1}]
