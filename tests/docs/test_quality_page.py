"""The example on the page about quality, imported: its scores, and its fractions computed by the page's own words."""

import math
import re
from fractions import Fraction
from pathlib import Path

import pytest

from imports.envelope import NDJSON
from imports.mapping.document import load
from imports.quality import formula, report
from tests.imports.mappings import publish
from tests.imports.pipeline import Caller, enrol, run

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "quality.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner() -> Caller:
    return enrol("Owner")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def down(share: Fraction) -> float:
    return math.floor(share * 10**6) / 10**6


def test_the_example_scores_as_the_page_says(owner: Caller) -> None:
    ((_, meant),) = load(block("yaml"))
    publish(owner, meant)
    found = report.of_job(run(owner, block("ndjson").encode(), media_type=NDJSON))

    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| (\d+) / (\d+) \| ([\d.]+) \|$", PAGE, re.MULTILINE)
    shares = {name: Fraction(int(part), int(whole)) for name, part, whole, _ in rows}
    assert list(shares) == list(formula.DIMENSIONS)
    assert {name: float(said) for name, _, _, said in rows} == {name: down(share) for name, share in shares.items()}
    assert found["dimensions"] == {name: down(share) for name, share in shares.items()}

    (said,) = re.findall(r"The score is .* = \*\*([\d.]+)\*\*", PAGE)
    assert found["score"] == float(said) == down(math.prod(shares.values(), start=Fraction(1)))

    fields = re.findall(
        r"^\| `(attributes\.\w+)` \| (\d) \| (\d) \| (\d) / (\d) \| (\d) / (\d) \| ([\d.]+) \|$", PAGE, re.MULTILINE
    )
    assert [(line["target"], line["missing"], line["unfit"], line["score"]) for line in found["fields"]] == [
        (name, int(missing), int(unfit), float(score)) for name, missing, unfit, *_, score in fields
    ]
    for *_, part, whole, valid, of_all, score in fields:
        assert float(score) == down(Fraction(int(part), int(whole)) * Fraction(int(valid), int(of_all)))


def test_the_page_s_formula_is_the_counts(owner: Caller) -> None:
    ((_, meant),) = load(block("yaml"))
    publish(owner, meant)
    found = report.of_job(run(owner, block("ndjson").encode(), media_type=NDJSON))
    (lines,) = re.findall(r"^```\n(keyed.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, Fraction] = {name: Fraction(count) for name, count in found["counts"].items()}
    for line in filter(None, lines.splitlines()):
        name, expression = re.split(r"\s+=\s+", line)
        names[name] = eval(expression, {}, names)
    for name, share in found["dimensions"].items():
        if name != "recordCount":
            assert share == down(names[name]), name


def test_the_page_names_every_dimension_count_and_the_rule_of_the_trend() -> None:
    for name in (*formula.DIMENSIONS, *report.COUNTED):
        assert name in PAGE
    assert f"more than {formula.THRESHOLD}" in PAGE
    assert report.DEFAULT_JOBS - 1 == 9
    assert "up to nine imports before" in PAGE
