"""How the quality of a customer's imports went."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from imports.models import ImportJob
from imports.quality import formula, report
from tests.imports.mappings import field, mapping, publish
from tests.imports.pipeline import Caller, bad_record, record, records, run

pytestmark = pytest.mark.django_db(transaction=True)


def of_score(caller: Caller, good: int, bad: int) -> ImportJob:
    """An import of which so many records of a hundred are good."""
    return run(caller, [*records(good), *(bad_record(f"bad-{number}") for number in range(bad))])


@pytest.mark.parametrize(
    ("latest", "earlier", "expected"),
    [
        (0.5, [], None),
        (None, [0.5], None),
        (0.5, [None], None),
        (0.5, [0.5], "steady"),
        (0.51, [0.5], "steady"),
        (0.49, [0.5], "steady"),
        (0.510001, [0.5], "better"),
        (0.489999, [0.5], "worse"),
        (0.9, [0.8, 1.0], "steady"),
        (0.9, [0.8, None, 0.9], "better"),
        (0.3, [0.1 + 0.2], "steady"),
    ],
)
def test_the_latest_is_held_against_the_mean_of_those_before(
    latest: float | None, earlier: list[float | None], expected: str | None
) -> None:
    assert formula.trend(latest, earlier) == expected


def test_a_job_s_trend_looks_back_and_stays_as_it_was(owner: Caller) -> None:
    jobs = [of_score(owner, *counts) for counts in ((8, 2), (9, 1), (5, 5))]
    told = [report.of_job(job) for job in jobs]
    assert [(found["score"], found["trend"]) for found in told] == [(0.8, None), (0.9, "better"), (0.5, "worse")]
    assert [found["byType"]["customer"]["trend"] for found in told] == [None, "better", "worse"]


def test_only_the_last_imports_count(owner: Caller) -> None:
    of_score(owner, 1, 1)
    for _ in range(9):
        of_score(owner, 2, 0)
    latest = of_score(owner, 2, 0)
    assert report.of_job(latest)["trend"] == "steady", "the half one is the eleventh"
    found = report.history(owner.customer.pk)
    assert ([line["score"] for line in found["jobs"]], found["trend"]) == ([1.0] * 10, "steady")
    assert report.history(owner.customer.pk, limit=11)["trend"] == "better"
    assert report.history(owner.customer.pk, limit=1)["trend"] is None


def test_fields_have_a_trend_of_their_own(owner: Caller) -> None:
    publish(owner, mapping(field("attributes.name"), field("attributes.city"), unmapped="drop"))

    def imported(**attributes: Any) -> ImportJob:
        return run(owner, [record("A", attributes=attributes), record("B", attributes={"city": "Rom"})])

    imported(name="Ada", city="Rom")
    publish(owner, mapping(field("attributes.name"), unmapped="drop"))
    imported(name="Ada")
    publish(owner, mapping(field("attributes.city"), field("attributes.name"), unmapped="drop"))
    latest = imported()
    found = report.history(owner.customer.pk, "customer")
    assert [(line["target"], line["scores"], line["trend"]) for line in found["fields"]] == [
        ("attributes.city", [0.5, None, 1.0], "worse"),
        ("attributes.name", [0.0, 0.5, 0.5], "worse"),
    ]
    assert found["jobs"][0]["jobId"] == str(latest.uuid)
    assert [(line["target"], line["trend"]) for line in report.of_job(latest)["fields"]] == [
        ("attributes.city", "worse"),
        ("attributes.name", "worse"),
    ]
    assert report.history(owner.customer.pk)["fields"] == []
    assert report.history(owner.customer.pk, "order")["jobs"] == []


def test_nobody_sees_another_customer_s_trend(owner: Caller, stranger: Caller) -> None:
    of_score(owner, 1, 1)
    job = of_score(stranger, 2, 0)
    assert report.of_job(job)["trend"] is None
    assert [line["score"] for line in report.history(stranger.customer.pk)["jobs"]] == [1.0]


def test_a_trend_is_one_query_over_its_index(owner: Caller) -> None:
    of_score(owner, 1, 1)
    with CaptureQueriesContext(connection) as captured:
        report.history(owner.customer.pk, "customer")
    (query,) = captured
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute(f"EXPLAIN {query['sql']}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
        cursor.execute("RESET enable_seqscan")
    assert "quality_score_trend" in plan
    assert "Sort Key: u0" not in plan.lower()
