"""What `longshore quality` prints and ends with."""

import json
from typing import Any

from tests.clients.cli.answers import STATUS, Run
from tests.clients.loopback import JOB, FakeServer, Reply


def shares(**members: float) -> dict[str, float | None]:
    names = ("recordCount", "keyCompleteness", "uniqueness", "typeValidity", "businessRules", "completeness")
    return {name: members.get(name) for name in names}


def part(score: float | None, **members: Any) -> dict[str, Any]:
    dimensions = members.pop("dimensions", shares(keyCompleteness=1.0, typeValidity=0.999999))
    return {"score": score, "trend": None, "dimensions": dimensions, "counts": {}, "outcomes": {}, **members}


def field(target: str, score: float, trend: str | None = None) -> dict[str, Any]:
    told = {"records": 9, "missing": 1_000, "unfit": 2, "completeness": 1.0, "validity": score}
    return {"type": "customer", "target": target, **told, "score": score, "trend": trend}


ANSWER = part(
    0.999999,
    trend="worse",
    announced=1_001,
    received=1_000,
    byType={"customer": part(1.0), "order": part(0.5, dimensions=shares(keyCompleteness=0.5))},
    fields=[field("attributes.good", 1.0), field("attributes.name", 0.5, "better"), field("attributes.city", 0.25)],
    reasons=[{"type": "customer", "code": "wrong_type", "records": 3}, {"type": "order", "code": "late", "records": 9}],
)


def test_shows_dimensions_by_type_the_worst_fields_and_reasons(server: FakeServer, run: Run) -> None:
    server.on("GET", f"{STATUS}/quality", Reply(200, ANSWER))
    result = run("quality", JOB)
    assert result.status == 0
    words = [" ".join(line.split()) for line in result.out.splitlines()]
    assert f"The records of {JOB} score 99.9 %, worse than before" in words
    assert "1,000 records were received, 1,001 were announced." in words
    assert "with a usable key 100.0 % 100.0 % 50.0 %" in words
    assert "fitting their types 99.9 % 99.9 % -" in words
    city, name = (words.index(line) for line in words if line.startswith("customer attributes."))
    assert (words[city], words[name]) == (
        "customer attributes.city 25.0 % 1,000 missing 2 unfit",
        "customer attributes.name 50.0 % 1,000 missing 2 unfit better",
    )
    assert words.index("late 9 order") < words.index("wrong_type 3 customer")
    assert "attributes.good" not in result.out


def test_a_program_gets_what_the_server_said(server: FakeServer, run: Run) -> None:
    server.on("GET", f"{STATUS}/quality", Reply(200, ANSWER))
    assert json.loads(run("quality", JOB, "--json").out) == ANSWER


def test_an_import_without_a_score_says_so(server: FakeServer, run: Run) -> None:
    none = part(None, dimensions=shares(), announced=None, received=3, byType={}, fields=[], reasons=[])
    server.on("GET", f"{STATUS}/quality", Reply(200, none))
    result = run("quality", JOB)
    assert (result.status, "has no score" in result.out) == (0, True)
