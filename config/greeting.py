"""What `manage.py up` tells the person at the terminal once the house serves."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connection
from django.http.request import validate_host

from config.listening import Address
from config.patience import Patience

_STEP_SECONDS = 0.1


async def greet(address: Address, say: Callable[[str], None]) -> None:
    """Says `ready URL` when /ready answers 200, and then what a new house still lacks."""
    patience = Patience(say)
    while (status := await asyncio.to_thread(address.answer, "/ready", host_header=_host_header())) != 200:
        await asyncio.sleep(_STEP_SECONDS)
        patience.tell(f"not ready yet: {address.url}/ready answers {status or 'nothing'}")
    say(f"ready {address.url}")
    for line in await asyncio.to_thread(missing):
        say(line)


def missing() -> list[str]:
    """A line for each thing a person must make before the house is of use; none where that cannot be known."""
    command = f"{_python()} manage.py"
    lines = []
    try:
        if not apps.get_model("auth", "User").objects.filter(is_staff=True, is_active=True).exists():
            lines.append(f"No admin yet. Make the first one: {command} create_admin")
        if not apps.get_model("customers", "Customer").objects.exists():
            lines.append(f"No customer yet. Make the first one: {command} create_customer NAME")
    except (LookupError, DatabaseError):
        return []
    finally:
        connection.close()
    return lines


def _host_header() -> str:
    """A Host that ALLOWED_HOSTS lets in."""
    allowed = settings.ALLOWED_HOSTS
    return "127.0.0.1" if validate_host("127.0.0.1", allowed) else allowed[0].lstrip(".")


def _python() -> str:
    try:
        return str(Path(sys.executable).relative_to(Path.cwd()))
    except ValueError:
        return sys.executable
