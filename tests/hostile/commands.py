"""Bodies for the calls that take a small JSON object, and queries for those that take none."""

from collections.abc import Iterator

from tests.hostile.records import MARK


def small_bodies(*members: str) -> Iterator[bytes]:
    """What is no object of these members: broken JSON, other types, values beyond any range."""
    yield from (b"", b" ", b"{", b"[]", b"null", b"7", b'"x"', b"\xff", b"\xef\xbb\xbf{}", b"{}{}", b"{'a':1}", b"\0")
    yield b"[" * 100_000
    yield b'{"a":' * 50_000
    yield f'{{"{MARK}":1}}'.encode()
    yield b'{"__proto__":{"admin":true}}'
    yield b'{"\\ud800":1}'
    for member in members:
        for value in (
            "null", "true", "-1", "0", "1.5", "1e400", "NaN", "9" * 30, "9" * 5_000, '""', f'"{MARK}"', '"\\u0000"',
            '"\\ud800"', '"' + "x" * 100_000 + '"', "[]", "{}", f'["{MARK}"]', "[" * 900 + "]" * 900, f'{{"{MARK}":1}}',
        ):  # fmt: skip
            yield f'{{"{member}":{value}}}'.encode()


QUERIES = (
    "limit=",
    "limit=-1",
    "limit=1e3",
    f"limit={'9' * 5_000}",
    "limit=%D9%A3",
    "after=x",
    f"after={MARK}",
    "after=AAAAAAAAAAA",
    "after=__________8",
    "after=%ff%fe",
    f"after={'A' * 10_000}",
    "status=%ff",
    f"status={MARK}",
    f"code={MARK}",
    "code=%27%3B--",
    "code=%ed%a0%80",
    "state=dry_run",
    "job=x",
    "job=00000000-0000-0000-0000-000000000000",
    "job=%00",
    "format=xml",
    "format=api",
    "&&&==&=",
    "limit=1&limit=2",
    "&".join(f"a{number}=1" for number in range(2_000)),
    "%",
    "%zz",
    "limit[]=1",
    "a=" + "x" * 30_000,
)
