from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.house import House, running_house


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running_house(tmp_path_factory.mktemp("house") / "data") as running:
        yield running


@pytest.fixture
def northwind() -> Path:
    path = Path(__file__).resolve().parents[3] / "shared" / "data" / "northwind-bulk.json"
    if not path.exists():
        pytest.skip(f"{path} is not here: the 998 real records cannot be pushed")
    return path
