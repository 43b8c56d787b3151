"""An admin applies a mapping, BigCorp pushes, what does not fit is seen, the mapping is mended, and all is stored."""

import json
import subprocess
import sys
from pathlib import Path

from tests.flows.house import ROOT, House

FIRST = """
mappings:
- customer: bigcorp
  type: customer
  fields:
  - target: attributes.name
    type: string
    source: attributes.Name
    transforms: [trim]
    mandatory: true
    classification: confidential
  - target: attributes.credit
    type: decimal
    source: attributes.Credit
    transforms: [{parse_number: {locale: en}}]
  - target: attributes.tier
    type: enum
    values: [gold, silver]
    source: customFields.Tier
    transforms: [lower]
  rules:
  - code: credit_below_zero
    that: $number(attributes.credit) >= 0
    message: A customer's credit is not below zero.
"""
MENDED = FIRST.replace("locale: en", "locale: de").replace("[gold, silver]", "[gold, silver, bronze]")


def customer(number: int, credit: str = "1.250,50", tier: str = "Gold") -> dict[str, object]:
    attributes = {"Name": f" Customer {number} ", "Credit": credit}
    return {"id": f"C-{number}", "type": "customer", "attributes": attributes, "customFields": {"Tier": tier}}


def test_a_mapping_is_applied_mended_and_what_failed_is_stored(house: House, tmp_path: Path) -> None:
    credentials = house.enrol("BigCorp")
    file, body = tmp_path / "bigcorp.yaml", tmp_path / "customers.json"
    file.write_text(FIRST)
    assert plan(house, file) == (3, "create")
    assert "bigcorp customer: version 1 is published" in house.manage("mappings", "apply", str(file))
    assert plan(house, file) == (0, "unchanged")

    sent = [customer(1, "10"), customer(2), customer(3, "20", "Bronze"), customer(4, "-5"), customer(5, "7", "SILVER")]
    metadata = {"source": "crm", "version": "1.0.0", "timestamp": "2026-01-01T00:00:00Z"}
    body.write_text(json.dumps({"metadata": metadata, "records": sent}))
    pushed = house.longshore(credentials, "push", str(body), "--watch", "--json")
    status = json.loads(pushed.stdout)
    assert status["mappings"] == {"customer": 1}
    assert status["progress"] == {"total": 5, "processed": 5, "failed": 3}, status["errors"]
    assert [(error["record"], error["code"], error["pointer"], error["target"]) for error in status["errors"]] == [
        ("C-2", "not_a_number", "/attributes/Credit", "/attributes/credit"),
        ("C-3", "not_in_enum", "/customFields/Tier", "/attributes/tier"),
        ("C-4", "credit_below_zero", "", ""),
    ]
    assert status["errors"][2]["error"] == "A customer's credit is not below zero."

    file.write_text(MENDED)
    told = house.manage("mappings", "apply", str(file))
    assert "version 2 is published in place of 1" in told
    assert '~ attributes.tier values: ["gold","silver"] -> ["gold","silver","bronze"]' in told
    with house.client(credentials) as client:
        house.longshore(credentials, "retry", status["jobId"], "--watch")
        (left,) = client.status(status["jobId"])["errors"]
        assert (left["record"], left["code"]) == ("C-4", "credit_below_zero")
        file.write_text(MENDED.partition("  rules:")[0])
        house.manage("mappings", "apply", str(file))
        assert house.longshore(credentials, "retry", status["jobId"], "--watch").returncode == 0
        after = client.status(status["jobId"])
        assert after["progress"] == {"total": 5, "processed": 5, "failed": 0}
        assert after["mappings"] == {"customer": 1}
        stored = {number: client.lookup("customer", f"C-{number}")["record"] for number in range(1, 6)}
    assert stored[2] == {
        "id": "C-2",
        "type": "customer",
        "attributes": {"name": "Customer 2", "credit": 1250.50, "tier": "gold"},
    }
    assert [stored[number]["attributes"]["tier"] for number in (3, 5)] == ["bronze", "silver"]
    assert stored[4]["attributes"]["credit"] == -5

    assert "version 4, published" in house.manage("mappings", "rollback", "bigcorp", "customer", "1")
    assert json.loads(house.manage("verify_audit", "--json"))["unbroken"] is True


def plan(house: House, file: Path) -> tuple[int, str]:
    """(exit status, what it would do to the file's only mapping)."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "mappings", "plan", str(file), "--json"],
        env=house.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    (step,) = json.loads(done.stdout)
    return done.returncode, step["action"]
