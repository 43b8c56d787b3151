"""`python -m bench.mapping`: a compiled mapping beside the same mapping written by hand, in one process.

Each pair runs both over the same records, one right after the other and in turns first; what counts is the median of
the pairs' own ratios. Processor time is taken, not the clock: it hardly minds who else computes.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from bench.body import body
from bench.by_hand import map_by_hand
from imports import checking
from imports.mapping.compiled import compile_mapping
from imports.mapping.definition import Mapping

RATIO = 3.0
EXPRESSION_MICROSECONDS = 10.0

Run = Callable[[str, str, dict[str, Any], dict[str, Any]], tuple[dict[str, Any], dict[str, Any]]]

FIELDS: list[dict[str, Any]] = [
    {
        "target": "attributes.name",
        "source": "attributes.name",
        "type": "string",
        "mandatory": True,
        "transforms": ["trim"],
    },
    {
        "target": "attributes.contact.email",
        "source": "attributes.email",
        "type": "string",
        "mandatory": True,
        "transforms": ["trim", "lower"],
    },
    {
        "target": "attributes.contact.phone",
        "source": "attributes.phone",
        "type": "string",
        "transforms": [{"name": "replace", "arguments": {"text": " ", "by": ""}}],
    },
    {"target": "attributes.address.street", "source": "attributes.street", "type": "string", "transforms": ["trim"]},
    {"target": "attributes.address.city", "source": "attributes.city", "type": "string", "transforms": ["upper"]},
    {"target": "attributes.balance", "source": "attributes.balance", "type": "decimal", "mandatory": True},
    {"target": "attributes.active", "source": "attributes.active", "type": "boolean", "default": True},
    {"target": "attributes.customerSince", "source": "attributes.since", "type": "date"},
    {
        "target": "attributes.segment",
        "source": "customFields.segment",
        "type": "enum",
        "values": ["E", "M", "S", "P"],
        "transforms": [
            {
                "name": "lookup",
                "arguments": {
                    "table": {"enterprise": "E", "mid-market": "M", "small": "S", "public": "P"},
                    "unknown": "refuse",
                },
            }
        ],
    },
    {"target": "customFields.owner", "source": "customFields.owner", "type": "string", "default": "nobody"},
    {
        "target": "customFields.crmRef",
        "source": "customFields.externalRef",
        "type": "string",
        "transforms": [{"name": "prefix", "arguments": {"text": "CRM-"}}],
    },
    {
        "target": "customFields.note",
        "source": "customFields.note",
        "type": "string",
        "absent": "blank",
        "transforms": ["trim"],
    },
]
EXPRESSIONS = {
    "attributes.full": "attributes.name & ', ' & attributes.city",
    "attributes.domain": "$substringAfter(attributes.email, '@')",
    "attributes.level": "attributes.active and customFields.segment = 'enterprise' ? 'gold' : 'silver'",
}
SCHEMA = {
    "properties": {
        "attributes": {
            "required": ["name", "contact", "balance"],
            "properties": {
                "name": {"type": "string", "maxLength": 200},
                "balance": {"type": "number", "minimum": 0},
                "contact": {"required": ["email"], "properties": {"email": {"type": "string", "maxLength": 254}}},
            },
        }
    }
}


def mapping(
    *, fields: list[dict[str, Any]] = FIELDS, expressions: dict[str, str] | None = None, schema: Any = None
) -> Mapping:
    """The bench's mapping; transforms may stand as bare names."""
    rules = [
        rule | {"transforms": [{"name": one} if isinstance(one, str) else one for one in rule.get("transforms", ())]}
        for rule in fields
    ]
    rules += [
        {"target": target, "type": "string", "expression": source} for target, source in (expressions or {}).items()
    ]
    found = {"type": "customer", "fields": rules} | ({} if schema is None else {"schema": schema})
    return msgspec.convert(found, Mapping)


def records(count: int) -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Made-up CRM records as the reader of bodies gives them."""
    raws = msgspec.json.decode(body(count), type=_Body).records
    found = [checking.read(raw)[0] for raw in raws]
    return [(one.id, "customer", one.attributes, one.customFields or {}) for one in found]


class _Body(msgspec.Struct):
    records: list[msgspec.Raw]


def engine(of: Mapping) -> Run:
    compiled = compile_mapping(of)
    missing = [0] * len(compiled.targets)

    def run(record_id: str, record_type: str, attributes: dict[str, Any], custom: dict[str, Any]) -> Any:
        return compiled(record_id, record_type, attributes, custom, missing)

    return run


def seconds(run: Run, given: list[tuple[str, str, dict[str, Any], dict[str, Any]]]) -> float:
    began = time.process_time()
    for record in given:
        run(*record)
    return time.process_time() - began


def pairs(one: Run, other: Run, given: Any, repetitions: int) -> tuple[float, float, float]:
    """(median seconds of one, of the other, median of the ratios of one to the other)."""
    found = []
    for repetition in range(repetitions + 1):
        if repetition % 2:
            second, first = seconds(other, given), seconds(one, given)
        else:
            first, second = seconds(one, given), seconds(other, given)
        if repetition:
            found.append((first, second))
    return (
        statistics.median(first for first, _ in found),
        statistics.median(second for _, second in found),
        statistics.median(first / second for first, second in found),
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.mapping", description=__doc__)
    parser.add_argument("--records", type=int, default=20_000, help="default: %(default)s")
    parser.add_argument("--repetitions", type=int, default=15, help="pairs that count; default: %(default)s")
    args = parser.parse_args()
    given = records(args.records)
    plain = engine(mapping())
    for record in given:
        if plain(*record) != map_by_hand(*record):
            raise RuntimeError("The mapping and the one by hand disagree.")
    compiled, by_hand, ratio = pairs(plain, map_by_hand, given, args.repetitions)
    with_schema, _, schema_ratio = pairs(engine(mapping(schema=SCHEMA)), plain, given, args.repetitions)
    with_expressions, without, _ = pairs(engine(mapping(expressions=EXPRESSIONS)), plain, given, args.repetitions)
    each = (with_expressions - without) / len(given) / len(EXPRESSIONS) * 1e6
    count = len(given)
    print(
        f"{count:,} records of {len(FIELDS)} fields, {args.repetitions} pairs, processor time, "
        f"Python {sys.version.split()[0]}"
    )
    rows = [
        ("twelve fields, compiled", f"{compiled / count * 1e6:.2f} us a record", f"{count / compiled:,.0f}/s", ""),
        ("twelve fields, by hand", f"{by_hand / count * 1e6:.2f} us a record", f"{count / by_hand:,.0f}/s", ""),
        ("  ratio", f"{ratio:.2f}", f"at most {RATIO:g}", _verdict(ratio <= RATIO)),
        ("with a schema", f"{with_schema / count * 1e6:.2f} us a record", f"{count / with_schema:,.0f}/s", ""),
        ("  ratio to the fields alone", f"{schema_ratio:.2f}", "", ""),
        (
            f"each of {len(EXPRESSIONS)} expressions on top",
            f"{each:.2f} us",
            f"at most {EXPRESSION_MICROSECONDS:g} us",
            _verdict(each <= EXPRESSION_MICROSECONDS),
        ),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for name, value, target, verdict in rows:
        print(f"{name:<{widths[0]}}  {value:>{widths[1]}}  {target:<{widths[2]}}  {verdict}".rstrip())
    return 0 if ratio <= RATIO and each <= EXPRESSION_MICROSECONDS else 1


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "missed"


if __name__ == "__main__":
    sys.exit(main())
