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

RECORD = {
    "id": "1",
    "attributes": {"first": "A", "last": "B", "none": None, "long": "a" * 40 + "!", "many": list(range(2_000))},
}

HOSTILE = {
    "endless recursion": "($f := function($n) {$f($n + 1) + 1}; $f(1))",
    "endless tail call": "($f := function($n) {$f($n + 1)}; $f(1))",
    "exponential recursion": "($f := function($n) {$n < 2 ? 1 : $f($n - 1) + $f($n - 2)}; $f(60))",
    "doubled list": "($d := function($l, $n) {$n = 0 ? $l : $d($append($l, $l), $n - 1)}; $d([1], 40))",
    "lists of lists": "($m := attributes.many; $m.[$m.[$reverse($m)]])",
    "product of ranges": "[1..1000].[[1..1000].[[1..1000], [1..1000]]]",
    "objects of lists": "($m := attributes.many; $o := $m{$string($): $}; $m.[$spread($o)])",
    "string doubling": '($d := function($s, $n) {$n = 0 ? $s : $d($s & $s, $n - 1)}; $d("x", 40))',
    "lists of strings": '($s := $pad("x", 32000); $m := attributes.many; $m.[$m.($s & "y")])',
    "padding": '$pad("x", 2000000000)',
    "exponential pattern": "$match(attributes.long, /^(a+)+$/)",
    "split and split": '($s := $pad("x", 1900); attributes.many.[$split($s, "")])',
    "sort bomb": "$sort(attributes.many, function($a, $b) {$sum([1..1000]) > $a})",
    "deep result": "($f := function($n) {$n = 0 ? 1 : {'a': $f($n - 1)}}; $f(100000))",
}

WIDE_RANGES = [
    "[1..9999999]",
    "[0..1000]",
    "[1..attributes.many[1999]]",
    "[1..(9999999)]",
    "[1..5*1000000]",
    "[2*1000000-1..9]",
    "[-9999999..1]",
    "[1../* */9999999]",
    "$count([1, 1..9999999])",
    """'"' & $string([1..9999999]) & '"'""",
    "'..'",
]

CHILD = """
import json, resource, sys
from imports.mapping.expression import Expression
from imports.mapping.problem import Unfit
def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_maxrss, usage.ru_utime + usage.ru_stime
source, record = json.load(sys.stdin)
memory, seconds = used()
try:
    Expression(source)(record)
    code = "nothing"
except Unfit as err:
    code = err.code
after = used()
assert Expression("attributes.first")(record) == "A"
print(json.dumps([code, (after[0] - memory) // 1024, after[1] - seconds]))
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
    code, megabytes, seconds = json.loads(child.stdout)
    assert code in ("expression_limit", "expression_failed")
    assert megabytes <= 256
    assert seconds <= 2


@pytest.mark.parametrize("source", WIDE_RANGES)
def test_a_range_that_may_be_wide_is_refused_beforehand(source: str) -> None:
    with pytest.raises(WrongArgument, match="range"):
        Expression(source)


def test_narrow_ranges_are_taken() -> None:
    assert Expression("$sum([ 1 .. 3, -2..-1, 5])")({}) == 8
    assert Expression("$count([1..1000])")({}) == 1000


def test_undefined_is_missing_and_null_is_null() -> None:
    assert Expression("attributes.nowhere")(RECORD) is MISSING
    assert Expression("attributes.none")(RECORD) is None


def test_a_result_is_exact() -> None:
    assert Expression("10 / 4")(RECORD) == Decimal("2.5")
    with pytest.raises(Unfit, match="number_not_exact"):
        Expression("0.1 + 0.2")(RECORD)


@pytest.mark.parametrize("source", [r'"a\u0000"', r'{"a\u0000": 1}', r'["\u0000"]'])
def test_a_result_with_nul_is_an_error(source: str) -> None:
    with pytest.raises(Unfit, match="expression_failed"):
        Expression(source)({})


@pytest.mark.parametrize("source", ["1 +", "$now()", "$eval('1')", "$random()", "a" * 10_001, "'\ud800'"])
def test_what_cannot_be_run_is_refused_beforehand(source: str) -> None:
    with pytest.raises(WrongArgument):
        Expression(source)


def test_a_failing_expression_quotes_no_value() -> None:
    with pytest.raises(Unfit) as caught:
        Expression("attributes.first + 1")(RECORD)
    assert caught.value.args == ("expression_failed",)
    assert caught.value.__suppress_context__
