"""A file is checked, what it would change is looked at, and exactly that is imported."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from longshore import Accepted, Client, FixRequest

from tests.flows.house import Credentials, House

METADATA = {"source": "crm", "version": "1.0.0", "timestamp": "2024-03-15T00:00:00Z"}
COUNT = 20_400  # more than a verdict answers at once


@pytest.fixture(scope="module")
def credentials(house: House) -> Credentials:
    return house.enrol("Dry runs")


def records(prefix: str, *, balance: str) -> list[dict[str, Any]]:
    return [
        {"id": f"{prefix}-{number}", "type": "customer", "attributes": {"n": number, "balance": f"@{balance}@"}}
        for number in range(COUNT)
    ]


def write(path: Path, items: list[dict[str, Any]]) -> Path:
    """Balances go out as numbers with exactly these digits."""
    text = json.dumps({"metadata": METADATA, "records": items})
    path.write_text(text.replace('"@', "").replace('@"', ""))
    return path


def push(client: Client, path: Path) -> None:
    *_, last = client.watch(client.push(path).job_id)
    assert last.status == "completed"


@pytest.mark.parametrize("split_over", [100_000_000, 0])
def test_what_was_seen_is_what_is_imported(
    house: House, credentials: Credentials, tmp_path: Path, split_over: int
) -> None:
    prefix = f"flow-{split_over}"
    before = records(prefix, balance="1.50")[:300]
    checked = [*records(prefix, balance="1.5"), {"id": 7, "type": "customer", "attributes": {}}]
    with house.client(credentials) as client:
        push(client, write(tmp_path / "before.json", before))
        dry_run = client.validate(write(tmp_path / "checked.json", checked), split_over=split_over, part_bytes=400_000)
        assert isinstance(dry_run, Accepted)
        assert (dry_run.parts > 1) == (split_over == 0)
        *_, last = client.watch(dry_run.job_id)
        assert (last.status, last.failed) == ("completed", 1)
        status = client.status(dry_run.job_id)
        assert status["would"] == {"create": COUNT - 300, "update": 300, "unchanged": 0}

        changes = list(client.changes(dry_run.job_id))
        assert [change["index"] for change in changes] == list(range(COUNT))
        (first,) = changes[0]["changes"]
        assert first == {"pointer": "/attributes/balance", "before": Decimal("1.50"), "after": Decimal("1.5")}
        assert str(first["before"]) == "1.50"
        assert changes[300]["changes"][0]["after"]["id"] == f"{prefix}-300"

        push(client, write(tmp_path / "between.json", records(prefix, balance="9")[:1]))
        with pytest.raises(FixRequest) as refused:
            client.commit(dry_run.job_id, digest="A" * 43)
        assert refused.value.code == "digest_differs"
        job = client.commit(dry_run.job_id)["jobId"]
        assert client.commit(dry_run.job_id)["jobId"] == job
        *_, last = client.watch(job)
        assert (last.status, last.total, last.failed) == ("completed", COUNT + 1, 1)
        assert client.status(job)["dryRun"] == dry_run.job_id
        assert client.status(dry_run.job_id)["committedAs"] == job
        outcomes = [line["outcome"] for line in client.results(job, "succeeded")]
        assert outcomes == ["updated"] * 300 + ["created"] * (COUNT - 300)
        assert [line["code"] for line in client.results(job, "failed")] == ["id_not_a_string"]
        assert client.lookup("customer", f"{prefix}-0")["record"]["attributes"]["balance"] == 1.5
        assert list(client.changes(dry_run.job_id)) == []


def test_the_command_checks_shows_and_commits(house: House, credentials: Credentials, tmp_path: Path) -> None:
    path = write(tmp_path / "command.json", records("command", balance="0.10"))
    checked = house.longshore(credentials, "validate", str(path), "--changes")
    assert checked.returncode == 0, checked.stderr
    assert "command-0" in checked.stdout
    commit = next(line for line in checked.stdout.splitlines() if "longshore commit" in line).split()[1:]
    done = house.longshore(credentials, *commit)
    assert done.returncode == 0, done.stderr
    assert "completed" in done.stdout
    small = write(tmp_path / "small.json", records("command", balance="0.1")[:3])
    told = house.longshore(credentials, "validate", str(small), "--changes")
    assert ["command-2", "/attributes/balance", "0.10", "→", "0.1"] in [
        line.split() for line in told.stdout.splitlines()
    ]
