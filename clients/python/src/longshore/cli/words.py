"""Numbers, times and foreign text as a person reads them."""

import unicodedata
from datetime import datetime

_BIDI = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain(text: object) -> str:
    """Text from elsewhere on one line, without characters that steer a terminal."""
    return "".join(
        "\ufffd" if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in _BIDI else char
        for char in str(text).replace("\n", " ").replace("\t", " ")
    )


def size(count: int) -> str:
    """Bytes in decimal units, as file managers show them."""
    if count < 1_000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1_000:.0f} kB"
    return f"{count / 1_000_000:.1f} MB"


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`."""
    return f"{seconds:.1f} s" if seconds < 9.95 else whole_duration(seconds)


def whole_duration(seconds: float) -> str:
    """The same in whole seconds, at least one, so that it does not flicker."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"


def moment(text: str | None) -> datetime | None:
    """A time of the server's, or None."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
