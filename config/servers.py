"""Where the database, Valkey and the secrets of this process are: from the environment, else embedded in DATA_DIR."""

import base64
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from config import embedded, env

IDLE_IN_TRANSACTION_SECONDS = 60
CLIENT_CHECK_MILLISECONDS = 500


def is_embedded() -> bool:
    """True where PostgreSQL is Longshore's own, out of its wheel."""
    return not env.text("DATABASE_URL")


def urls(data_dir: Path) -> tuple[str, str]:
    """(DATABASE_URL, REDIS_URL): each from the environment, else the embedded server's address."""
    database_url, redis_url = env.text("DATABASE_URL"), env.text("REDIS_URL")
    if database_url and redis_url:
        return database_url, redis_url
    own = embedded.addresses(data_dir)
    return database_url or own.database_url, redis_url or own.redis_url


def database(url: str, *, pool: bool, pool_size: int) -> dict[str, Any]:
    """Django's database entry for a postgresql:// URL; a socket directory stands in `?host=`.

    Every connection ends a forgotten transaction after 60 s (DATABASE_IDLE_SECONDS) and notices a lost peer within
    10 s, since a batch's claim is a row lock that lives as long as its connection. PostgreSQL looks for its client in
    the middle of a statement too: otherwise that of a killed worker would be worked on, or wait for a lock, to its end.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres"):
        raise ImproperlyConfigured(
            "DATABASE_URL must begin with postgresql://, for example postgresql://user:secret@host/name."
        )
    query = dict(parse_qsl(parts.query))
    idle_seconds = env.integer("DATABASE_IDLE_SECONDS", IDLE_IN_TRANSACTION_SECONDS, minimum=1)
    options: dict[str, Any] = {
        "application_name": env.text("PROCESS_NAME", "longshore"),
        "connect_timeout": 5,
        "keepalives_idle": 4,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        "options": f"-c idle_in_transaction_session_timeout={idle_seconds}s "
        f"-c client_connection_check_interval={CLIENT_CHECK_MILLISECONDS}ms",
    }
    host = query.pop("host", None) or parts.hostname or ""
    options.update(query)
    if pool:
        # A pool tries to connect ever less often and gives nothing out meanwhile. Giving up soon it begins anew with
        # the next call, so that a database that is back is used again within seconds.
        options["pool"] = {"min_size": 1, "max_size": pool_size, "timeout": 2, "reconnect_timeout": 2}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "longshore",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 0 if pool else 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }


def secret(name: str, data_dir: Path) -> str:
    """The environment's value, else (embedded only) one generated once into DATA_DIR/secrets."""
    value = env.text(name)
    if value:
        return value
    if not is_embedded():
        raise ImproperlyConfigured(
            f"Set {name} to at least 50 random characters; outside the embedded default none is made up."
        )
    return _generated(data_dir, name.lower(), secrets.token_urlsafe(48))


def master_keys(data_dir: Path) -> str:
    """`id:base64,…` from MASTER_KEYS or the file MASTER_KEYS_FILE, else (embedded only) one generated key."""
    value = env.text("MASTER_KEYS")
    path = env.text("MASTER_KEYS_FILE")
    if value or path:
        return value or Path(path).read_text().strip()
    if not is_embedded():
        return ""
    return _generated(data_dir, "master_keys", "m1:" + base64.b64encode(secrets.token_bytes(32)).decode())


def _generated(data_dir: Path, name: str, value: str) -> str:
    folder = data_dir / "secrets"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / name
    if path.exists():
        # Nothing is written that need not be: every command reads the settings, on a full disk too.
        return path.read_text().strip()
    try:
        # Exclusive creation: of two processes that start together one writes, and both read the same value.
        temporary = folder / f".{name}.{os.getpid()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(value)
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        (folder / f".{name}.{os.getpid()}").unlink(missing_ok=True)
    return path.read_text().strip()
