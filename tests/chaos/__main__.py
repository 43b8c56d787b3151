"""The long runs of `make chaos`: each prints figures and seed, and the exit status says whether all are clean."""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.blows import Plan
from tests.chaos.house import chaos_house
from tests.chaos.importing import is_clean, run_import


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--run", action="append", choices=["kills", "mixed"], help="default: all")
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--workers", type=int, default=3)
    options = parser.parse_args()
    chosen = options.run or ["kills", "mixed"]
    print(f"seed {options.seed}", flush=True)
    plans = {
        "kills": Plan(options.seed, options.kills),
        "mixed": Plan(options.seed, options.kills, flushes=9, valkey_kills=6, crashes=5, valkey_down_seconds=60.0),
    }
    clean = True
    with (
        tempfile.TemporaryDirectory(prefix="longshore-chaos-") as folder,
        chaos_house(Path(folder) / "data", WORKERS=str(options.workers)) as house,
    ):
        for name in chosen:
            figures = run_import(house, plans[name], records=options.records, name=name)
            print(f"{name} {figures.line()}", flush=True)
            clean = clean and is_clean(figures)
    print("clean" if clean else "NOT CLEAN")
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
