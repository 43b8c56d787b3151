"""The official suites of JSON Schema and JSONata through our adapters: they agree, or the reason is one that is known.

docs/mapping-engine.md explains each reason and gives the counts.
"""

import json
import sys
from typing import Any, Final

import pytest

from imports.mapping.expression import Expression
from imports.mapping.mistake import WrongArgument
from imports.mapping.narrowing import narrower
from imports.mapping.number import for_expression
from imports.mapping.path import MISSING
from imports.mapping.problem import Unfit
from imports.mapping.schema import Schema
from tests.imports.mapping.suites import (
    FAILS,
    UNDEFINED,
    ExpressionCase,
    SchemaGroup,
    comparable,
    counts,
    exactly,
    expression_cases,
    schema_groups,
)

AGREES: Final = "agrees"

_REFUSED: Final = {
    "$id and $schema stand at the top": "refused: a resource inside the schema",
    "a reference must stay inside": "refused: a reference to another document",
    "a reference is written as": "refused: a reference by anchor",
    "a reference leads back to itself": "refused: recursion",
    "$schema must be": "refused: another dialect",
}
# The suite wants formats as mere annotations unless asked; a mapping's schema asks.
_FORMAT_FILE: Final = "format.json: "


def schema_outcomes(group: SchemaGroup) -> list[tuple[str, str]]:
    """(case, AGREES or why not) for each case of the group."""
    try:
        schema = Schema(group.schema if isinstance(group.schema, dict) else {"allOf": [group.schema]})
    except WrongArgument as err:
        reason = next((reason for begin, reason in _REFUSED.items() if str(err).startswith(begin)), str(err))
        return [(name, reason) for name, _, _ in group.cases]
    found = []
    for name, value, is_valid in group.cases:
        if (not schema.check(value)) == is_valid:
            found.append((name, AGREES))
        else:
            is_format = group.name.startswith(_FORMAT_FILE) and is_valid
            found.append((name, "formats are asserted" if is_format else "another verdict"))
    return found


def test_json_schema_agrees_or_is_refused_for_a_known_reason(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [(group.name, *outcome) for group in schema_groups() for outcome in schema_outcomes(group)]
    report("JSON Schema 2020-12", [outcome[-1] for outcome in outcomes], capsys)
    known = {AGREES, "formats are asserted", *_REFUSED.values()}
    assert [outcome for outcome in outcomes if outcome[-1] not in known] == []
    assert sum(outcome[-1] == AGREES for outcome in outcomes) >= 0.9 * len(outcomes)


def evaluated(expression: Expression, document: Any) -> Any:
    try:
        return expression(document)
    except Unfit as err:
        return err


def is_right(case: ExpressionCase, found: Any) -> bool:
    if case.gives is FAILS:
        return isinstance(found, Unfit) and found.code.startswith("expression_")
    if case.gives is UNDEFINED:
        return found is MISSING
    return not isinstance(found, Unfit) and bool(comparable(found) == comparable(case.gives))


def expression_outcome(case: ExpressionCase) -> str:
    try:
        expression = Expression(case.source)
    except WrongArgument as err:
        if case.gives is FAILS:
            return AGREES
        if str(err).startswith("$"):
            return "refused: $now, $eval, $random or $shuffle"
        return "refused: a range that is not small and plain" if "range" in str(err) else f"refused: {err}"
    document = exactly(case.document)
    found = evaluated(expression, for_expression(document))
    narrowed = evaluated(expression, narrower([expression.reads])(document))
    if str(narrowed) != str(found):
        return "another result where only what is read is given"
    if is_right(case, found):
        return AGREES
    # The same with doubles, as no record gives them: what then agrees differs by the fractions alone.
    as_doubles = evaluated(expression, json.loads(case.document))
    if is_right(case, as_doubles):
        return "a fraction is given as text"
    for reached in (found, as_doubles):
        if isinstance(reached, Unfit) and reached.code == "number_not_exact":
            return "a result of more than 15 digits"
        if isinstance(reached, Unfit) and reached.code == "expression_limit":
            return "over the limits"
    return "no record is null" if case.document == b"null" else "another result"


# One case each, and why.
_SINGLE: Final = {"wildcards/case010[2]": "refused: no JSONata at character 10: S0211"}


def test_jsonata_agrees_or_differs_for_a_known_reason(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [(case.name, expression_outcome(case)) for case in expression_cases()]
    report("JSONata", [outcome for _, outcome in outcomes], capsys)
    known = {
        AGREES,
        "refused: $now, $eval, $random or $shuffle",
        "refused: a range that is not small and plain",
        "a fraction is given as text",
        "a result of more than 15 digits",
        "over the limits",
        "no record is null",
    }
    assert {name: outcome for name, outcome in outcomes if outcome not in known} == _SINGLE
    assert sum(outcome == AGREES for _, outcome in outcomes) >= 0.9 * len(outcomes)


def report(suite: str, outcomes: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        f"  {count:5,} {outcome}" for outcome, count in sorted(counts(iter(outcomes)).items(), key=lambda one: -one[1])
    ]
    with capsys.disabled():
        sys.stdout.write(f"\n{suite}: {len(outcomes):,} cases\n" + "\n".join(lines) + "\n")
