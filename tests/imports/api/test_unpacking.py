import asyncio
import gzip

import pytest

from imports.api.problems import Problem
from imports.api.unpacking import LARGE_BODY_BYTES, Slots, unpack, unpack_small


@pytest.mark.parametrize("size", [0, 1, 255, 262_143, 262_144, 262_145, 3_000_000])
@pytest.mark.parametrize("filling", [b"\0", b"0123456789abcdef"])
def test_what_was_packed_comes_back(size: int, filling: bytes) -> None:
    plain = (filling * (size // len(filling) + 1))[:size]
    for level in (0, 1, 9):
        assert unpack(gzip.compress(plain, level)) == plain


def test_the_limit_is_exact() -> None:
    packed = gzip.compress(bytes(1000))
    assert len(unpack(packed, max_bytes=1000)) == 1000
    with pytest.raises(Problem, match="body_too_large"):
        unpack(packed, max_bytes=999)


def test_a_large_body_is_not_unpacked_as_a_small_one() -> None:
    assert unpack_small(gzip.compress(bytes(LARGE_BODY_BYTES))) is not None
    assert unpack_small(gzip.compress(bytes(LARGE_BODY_BYTES + 1))) is None


def test_the_third_large_body_waits_and_is_then_refused() -> None:
    async def scene() -> None:
        slots = Slots(2, wait_seconds=0.05)
        async with slots.place(), slots.place():
            with pytest.raises(Problem) as refusal:
                async with slots.place():
                    pass
            assert (refusal.value.status, refusal.value.headers["Retry-After"]) == (503, "5")
        async with slots.place(), slots.place():
            pass

    asyncio.run(scene())


def test_a_place_is_given_back_by_a_failing_call() -> None:
    async def scene() -> None:
        slots = Slots(1, wait_seconds=0.05)
        for _ in range(3):
            with pytest.raises(ValueError, match="failed"):
                async with slots.place():
                    raise ValueError("failed")

    asyncio.run(scene())
