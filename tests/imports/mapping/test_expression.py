"""JSONata with its limits."""

import json
import resource
import subprocess
import sys
from decimal import Decimal

import pytest

from imports.mapping.expression import Expression
from imports.mapping.mistake import WrongArgument
from imports.mapping.path import MISSING
from imports.mapping.problem import Unfit

RECORD = {"id": "1", "attributes": {"first": "A", "last": "B", "none": None, "long": "a" * 40 + "!"}}

HOSTILE = {
    "endless recursion": "($f := function($n) {$f($n + 1) + 1}; $f(1))",
    "endless tail call": "($f := function($n) {$f($n + 1)}; $f(1))",
    "exponential recursion": "($f := function($n) {$n < 2 ? 1 : $f($n - 1) + $f($n - 2)}; $f(60))",
    "huge range": "[1..9999999]",
    "sum of ranges": "$sum([1..9000000].($ * 2))",
    "product of ranges": "$count([1..5000].([1..5000]))",
    "string doubling": '($d := function($s, $n) {$n = 0 ? $s : $d($s & $s, $n - 1)}; $d("x", 40))',
    "padding": '$pad("x", 2000000000)',
    "exponential pattern": "$match(attributes.long, /^(a+)+$/)",
    "joined ranges": '$join([1..99999].("xxxxxxxxxxxxxxxxxxxxxxxx"))',
    "sort bomb": "$sort([1..99999], function($a, $b) {$sum([1..1000]) > $a})",
    "deep result": "($f := function($n) {$n = 0 ? 1 : {'a': $f($n - 1)}}; $f(100000))",
}

CHILD = """
import json, resource, sys
from imports.mapping.expression import Expression
from imports.mapping.mistake import WrongArgument
from imports.mapping.problem import Unfit
def used():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
source, record = json.load(sys.stdin)
before = used()
try:
    Expression(source)(record)
    code = "nothing"
except Unfit as err:
    code = err.code
except WrongArgument:
    code = "refused"
assert Expression("attributes.first")(record) == "A"
print(json.dumps([code, (used() - before) // 1024]))
"""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_expression_is_stopped_and_others_go_on(name: str) -> None:
    limit = 2 * 1024**3
    child = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps([HOSTILE[name], RECORD]),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    code, megabytes = json.loads(child.stdout)
    assert code in ("expression_limit", "expression_failed")
    assert megabytes <= 256


def test_undefined_is_missing_and_null_is_null() -> None:
    assert Expression("attributes.nowhere")(RECORD) is MISSING
    assert Expression("attributes.none")(RECORD) is None


def test_a_result_is_exact() -> None:
    assert Expression("10 / 4")(RECORD) == Decimal("2.5")
    with pytest.raises(Unfit, match="number_not_exact"):
        Expression("0.1 + 0.2")(RECORD)


@pytest.mark.parametrize("source", ["1 +", "$now()", "$eval('1')", "$random()", "a" * 10_001])
def test_what_cannot_be_run_is_refused_beforehand(source: str) -> None:
    with pytest.raises(WrongArgument):
        Expression(source)


def test_a_failing_expression_quotes_no_value() -> None:
    with pytest.raises(Unfit) as caught:
        Expression("attributes.first + 1")(RECORD)
    assert caught.value.args == ("expression_failed",)
    assert caught.value.__suppress_context__
