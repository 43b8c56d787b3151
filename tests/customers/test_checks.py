import base64
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

from customers.checks import check_master_keys, check_secret_key, check_trusted_proxies

GOOD_KEY = "AIRshTYEbzBkjCjHRMgPIGBDe7L9WMOK2WtYWiqRvqg="
OTHER_KEY = "WPChFzBfINcrr5vWTKzNbLf8ixwoFF1uvpP2fBvTlLM="
GOOD_SECRET_KEY = "kX3vQ9sT1mLzR7bN5cYwE0uHgJpFd2aVi8oKtSxZqC6rMnByWl4"
CHECKOUT = Path(__file__).parents[2]


def ids(found: list[Any]) -> list[str]:
    for message in found:
        assert message.hint
    return [message.id for message in found]


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"m1:{GOOD_KEY}", []),
        ("", ["longshore.E001"]),
        ("  ,", ["longshore.E001"]),
        (GOOD_KEY, ["longshore.E002"]),
        ("m1:***", ["longshore.E002"]),
        ("m1:c2hvcnQ=", ["longshore.E003"]),
        (f"m1:{GOOD_KEY},m1:{OTHER_KEY}", ["longshore.E004"]),
        (f"m1:{GOOD_KEY},m2:{GOOD_KEY}", ["longshore.E004"]),
        (f"m1:{encoded(bytes(32))}", ["longshore.E007"]),
        (f"m1:{encoded(bytes(range(32)))}", ["longshore.E007"]),
        (f"m1:{encoded(b'changeme'.ljust(32, b'.'))}", ["longshore.E007"]),
        (f"m1:{GOOD_KEY},m0:{encoded(b'ab' * 16)}", ["longshore.E007"]),
    ],
)
def test_weak_master_keys_are_refused(settings: Settings, text: str, expected: list[str]) -> None:
    settings.MASTER_KEYS = text
    found = check_master_keys(None)
    assert ids(found) == expected
    assert GOOD_KEY not in repr(found)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (GOOD_SECRET_KEY, []),
        (GOOD_SECRET_KEY[:49], ["longshore.E005"]),
        ("django-insecure-" + GOOD_SECRET_KEY, ["longshore.E006"]),
        ("changeme" + GOOD_SECRET_KEY, ["longshore.E006"]),
        ("x" * 50, ["longshore.E006"]),
    ],
)
def test_weak_secret_keys_are_refused(settings: Settings, key: str, expected: list[str]) -> None:
    settings.SECRET_KEY = key
    found = check_secret_key(None)
    assert ids(found) == expected
    assert key not in repr(found)


def test_mistyped_proxies_are_refused(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = ["127.0.0.1", "unix", "10.0.0.0/8"]
    assert check_trusted_proxies(None) == []
    settings.TRUSTED_PROXIES = ["nginx", "10.0.0.1/8"]
    assert ids(check_trusted_proxies(None)) == ["longshore.E008", "longshore.E008"]


def test_django_runs_them(settings: Settings) -> None:
    settings.MASTER_KEYS, settings.SECRET_KEY, settings.TRUSTED_PROXIES = "", "short", ["nginx"]
    assert {"longshore.E001", "longshore.E005", "longshore.E008"} <= {message.id for message in run_checks()}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"MASTER_KEYS": ""}, "longshore.E001"),
        ({"SECRET_KEY": "changeme"}, "longshore.E005"),
    ],
)
def test_a_command_does_not_start_with_them(environment: dict[str, str], expected: str) -> None:
    """In a process of its own and outside the embedded default, where nothing is made up."""
    command = [sys.executable, "-m", "django", "revoke_key", "bk_whatever"]
    given = {"DATABASE_URL": "postgresql:///nowhere", "REDIS_URL": "unix:///nowhere", "SECRET_KEY": GOOD_SECRET_KEY}
    clean = {name: value for name, value in os.environ.items() if name not in {"MASTER_KEYS", "MASTER_KEYS_FILE"}}
    ran = subprocess.run(command, cwd=CHECKOUT, env={**clean, **given, **environment}, capture_output=True, text=True)
    assert ran.returncode == 1
    assert expected in ran.stderr
    assert "HINT" in ran.stderr
