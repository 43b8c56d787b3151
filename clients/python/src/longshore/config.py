"""Where the server is and who we are, checked before anything is sent."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx2

from longshore.errors import FixConfiguration
from longshore.signing import Key

URL_NAME = "LONGSHORE_URL"
KEY_ID_NAME = "LONGSHORE_KEY_ID"
SECRET_NAME = "LONGSHORE_SECRET"  # noqa: S105  the variable's name


@dataclass(frozen=True)
class Config:
    """A checked address (scheme, host and port only) and key."""

    url: httpx2.URL
    key: Key = field(repr=False)

    @classmethod
    def parse(cls, url: str, key_id: str, secret: str) -> "Config":
        return cls(parse_url(url), Key.parse(key_id, secret))

    @classmethod
    def from_environment(
        cls,
        *,
        url: str | None = None,
        key_id: str | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> "Config":
        """The three variables; `url` and `key_id` win over theirs. The secret comes from there only."""
        values = {
            URL_NAME: url or environ.get(URL_NAME, ""),
            KEY_ID_NAME: key_id or environ.get(KEY_ID_NAME, ""),
            SECRET_NAME: environ.get(SECRET_NAME, ""),
        }
        if missing := [name for name, value in values.items() if not value.strip()]:
            raise FixConfiguration(
                "not_configured",
                f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set.",
                hint="Set all three: LONGSHORE_URL=https://host LONGSHORE_KEY_ID=… LONGSHORE_SECRET=lsk_… "
                "(the server's admin hands them out; the secret is taken from the environment only).",
            )
        return cls.parse(*(value.strip() for value in values.values()))


def parse_url(text: str) -> httpx2.URL:
    """The server's address, with a trailing slash or `/api/v1` forgiven."""
    hint = "Set LONGSHORE_URL to the server's address alone, such as https://longshore.example.com"
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL as err:
        raise FixConfiguration("url_malformed", "LONGSHORE_URL is not an address.", hint=hint) from err
    if url.scheme not in ("http", "https") or not url.host or (url.port or 0) > 65_535:
        raise FixConfiguration("url_malformed", "LONGSHORE_URL must begin with https:// and name a host.", hint=hint)
    if url.userinfo or url.query or url.fragment:
        raise FixConfiguration("url_malformed", "LONGSHORE_URL must not hold a login, query or #.", hint=hint)
    if url.path.rstrip("/") not in ("", "/api/v1"):
        raise FixConfiguration("url_malformed", "LONGSHORE_URL must not hold a path.", hint=hint)
    return url.copy_with(path="/")


def is_exposed(url: httpx2.URL) -> bool:
    """Whether records would cross a network in clear text: http to anything but this machine."""
    if url.scheme == "https" or url.host == "localhost" or url.host.endswith(".localhost"):
        return False
    try:
        return not ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return True
