"""`make bench`: intake, throughput and status latency beside their floors, all in one run on embedded servers."""

import argparse
import os
import sys
import tempfile
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--records", type=int, default=130_000, help="default: %(default)s, just below 50 MB")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="longshore-bench-") as folder:
        use(Path(folder) / "data")
        from bench.run import run  # needs the settings of that directory

        run(Path(folder), repetitions=args.repetitions, records=args.records)
    return 0


def use(data_dir: Path) -> None:
    """A house of its own: nothing of the caller's is touched, and nothing of its settings is measured."""
    for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "MASTER_KEYS", "MASTER_KEYS_FILE", "WEB", "HOST"):
        os.environ.pop(name, None)
    os.environ |= {
        "DATA_DIR": str(data_dir),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "WORKERS": "2",
        "LOG_LEVEL": "WARNING",
    }
    from config import embedded

    embedded.prepare(data_dir)
    import django

    django.setup()


if __name__ == "__main__":
    sys.exit(main())
