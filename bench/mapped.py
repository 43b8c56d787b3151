"""`python -m bench.mapped`: throughput with a mapping of twelve fields, a schema and masks against that without, in one
run: the same body, pushed in turn by a customer that has mappings and by one that has none."""

import argparse
import sys
import tempfile
from pathlib import Path

RATIO = 0.60


def main() -> int:
    from bench.__main__ import use

    parser = argparse.ArgumentParser(prog="python -m bench.mapped", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--records", type=int, default=130_000, help="default: %(default)s, just below 50 MB")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="longshore-bench-") as folder:
        use(Path(folder) / "data")
        return _run(Path(folder), repetitions=args.repetitions, records=args.records)


def _run(folder: Path, *, repetitions: int, records: int) -> int:
    """0 where the ratio is met. The first repetition warms up and is left out; who comes first alternates."""
    from urllib.parse import urlsplit

    import psutil
    import psycopg
    from django.conf import settings
    from django.db import connection

    from audit.context import Actor, acting_as
    from bench.body import body as make_body
    from bench.journey import Journey, median, travel
    from bench.machine import describe
    from bench.run import empty
    from bench.typical import MAPPINGS
    from bench.wire import Caller
    from config.demo.house import open_house
    from customers.enrolment import create_customer
    from imports import mapping_versions

    body = make_body(records)
    print(f"{records:,} records, {len(body):,} bytes, {len(body) / records:.0f} a record; {repetitions} repetitions")
    with open_house(folder) as house:
        print(describe(settings.DATABASE_URL))
        address = urlsplit(house.url)
        callers = {}
        with acting_as(Actor("command", "bench")):
            for name in ("plain", "mapped"):
                customer, key = create_customer(name)
                callers[name] = Caller(address.hostname or "", address.port or 0, key.key_id, key.secret)
            for meant in MAPPINGS:
                mapping_versions.publish(mapping_versions.draft(customer, meant))
        assert house.up is not None
        processes = psutil.Process(house.up.pid)
        journeys: dict[str, list[Journey]] = {"plain": [], "mapped": []}
        with psycopg.connect(settings.DATABASE_URL, autocommit=True) as database:
            for repetition in range(repetitions + 1):
                for name in ("plain", "mapped") if repetition % 2 else ("mapped", "plain"):
                    empty(database)
                    journey = travel(callers[name], processes, database, body, ask=False)
                    if repetition:
                        journeys[name].append(journey)
                        print(
                            f"  {repetition} {name:>6}: {journey.completed:.2f} s = "
                            f"{records / journey.completed:,.0f}/s, processor {journey.processor:.2f} s"
                        )
        connection.close()
    pairs = list(zip(journeys["plain"], journeys["mapped"], strict=True))
    ratio = median([plain.completed / mapped.completed for plain, mapped in pairs])
    processor = median([plain.processor / mapped.processor for plain, mapped in pairs])
    print()
    for name in ("plain", "mapped"):
        print(f"{name:<28}{records / median([one.completed for one in journeys[name]]):>10,.0f} records a second")
    is_met = ratio >= RATIO
    print(f"{'mapped / plain':<28}{ratio:>10.0%} at least {RATIO:.0%}, {'met' if is_met else 'missed'}")
    print(f"{'the same by processor time':<28}{processor:>10.0%}")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
