import json
import logging
import sys
from collections.abc import Callable

import pytest
from django.db import DataError, OperationalError

from audit.context import Actor, acting_as
from config import logs

SECRET = "somebody@example.com"


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A record as the configured formatter writes it, in the given LOG_FORMAT."""

    def written(message: str, *args: object, form: str = "json", error: bool = False, **extra: object) -> str:
        monkeypatch.setenv("LOG_FORMAT", form)
        record = logging.getLogger("longshore.test").makeRecord(
            "longshore.test", logging.INFO, __file__, 1, message, args, sys.exc_info() if error else None, extra=extra
        )
        return logs.formatter().format(record)

    return written


def test_a_line_is_json_or_key_and_value(line: Callable[..., str]) -> None:
    seen = json.loads(line("stored %d", 5, batch=7))
    assert (seen["event"], seen["level"], seen["logger"], seen["batch"]) == ("stored 5", "info", "longshore.test", 7)
    assert 'event="stored 5" logger=longshore.test batch=7' in line("stored %d", 5, form="line", batch=7)


def test_a_line_says_who_acts_for_which_request(line: Callable[..., str]) -> None:
    with acting_as(Actor("key", "bk_12345678"), request_id="r-12345"):
        seen = json.loads(line("stored"))
    assert (seen["actor"], seen["request_id"]) == ("key:bk_12345678", "r-12345")


@pytest.mark.parametrize("kind", [ValueError, DataError, KeyError])
def test_an_exception_shows_its_place_and_not_its_text(line: Callable[..., str], kind: type[Exception]) -> None:
    hidden = SECRET
    try:
        try:
            int(hidden)
        except ValueError as err:
            raise kind(SECRET) from err
    except kind:
        written = line("failed", error=True)
    assert SECRET not in written
    shown = json.loads(written)["exception"]
    assert shown.startswith(f"{kind.__name__} at tests/config/test_logs.py:")
    assert "caused by ValueError" in shown
    assert "\n" not in written


def test_what_speaks_of_servers_is_shown(line: Callable[..., str]) -> None:
    try:
        raise OperationalError("connection refused\nDETAIL: more")
    except OperationalError:
        assert "OperationalError: connection refused at " in json.loads(line("failed", error=True))["exception"]


def test_an_object_is_left_out(line: Callable[..., str]) -> None:
    assert SECRET not in line("failed", request=type("Request", (), {"__repr__": lambda self: SECRET})())
