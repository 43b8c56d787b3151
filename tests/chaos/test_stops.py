"""Short forms of the runs order, stopped and supervisor, in one house."""

from tests.chaos.conftest import IDLE_SECONDS
from tests.chaos.house import ChaosHouse
from tests.chaos.ordering import run_order
from tests.chaos.stopping import run_stops
from tests.chaos.surviving import run_supervisor


def test_the_newest_import_stands_whatever_becomes_of_its_workers(house: ChaosHouse) -> None:
    order = run_order(house, seed=5, keys=1_200, rounds=2, size=8_000, newer=2)
    assert order.faults() == [], order.line()
    assert order.stops > 0


def test_a_batch_of_a_stopped_worker_goes_on_elsewhere_and_is_not_done_twice(house: ChaosHouse) -> None:
    stops = run_stops(house, seed=6, records=2_500, stops=1, idle_seconds=IDLE_SECONDS, size=8_000)
    assert stops.faults() == [], stops.line()


def test_an_import_outlives_its_supervisor(house: ChaosHouse) -> None:
    survival = run_supervisor(house, seed=7, records=2_500, kills=1, stops=0, size=8_000)
    assert survival.faults() == [], survival.line()
