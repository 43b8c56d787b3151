import base64
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customers.master_keys import MasterKeyError, WrappedKey, parse

KEY = bytes(range(7, 39))
OTHER = bytes(range(9, 41))


def written(**keys: bytes) -> str:
    return ",".join(f"{kek_id}:{base64.b64encode(key).decode()}" for kek_id, key in keys.items())


def test_the_first_key_wraps_and_all_unwrap() -> None:
    customer = uuid4()
    old = parse(written(m1=KEY)).wrap(b"data key", customer_uuid=customer, purpose="record", version=3)
    both = parse(written(m2=OTHER, m1=KEY))
    new = both.wrap(b"data key", customer_uuid=customer, purpose="record", version=3)
    assert (old.kek_id, new.kek_id) == ("m1", "m2")
    for wrapped in (old, new):
        assert both.unwrap(wrapped, customer_uuid=customer, purpose="record", version=3) == b"data key"


@given(st.binary(max_size=64))
def test_wrapping_never_shows_the_key_and_never_repeats(key: bytes) -> None:
    masters, customer = parse(written(m1=KEY)), uuid4()
    first, second = (masters.wrap(key, customer_uuid=customer, purpose="secret", version=1) for _ in range(2))
    assert first.wrapped != second.wrapped
    assert len(key) < 8 or key not in first.wrapped


def test_a_wrapped_key_is_bound_to_customer_purpose_version_and_master_key() -> None:
    masters, customer = parse(written(m1=KEY)), uuid4()
    wrapped = masters.wrap(b"data key", customer_uuid=customer, purpose="record", version=1)
    for place in (
        {"customer_uuid": uuid4(), "purpose": "record", "version": 1},
        {"customer_uuid": customer, "purpose": "secret", "version": 1},
        {"customer_uuid": customer, "purpose": "record", "version": 2},
    ):
        assert code(lambda p=place: masters.unwrap(wrapped, **p)) == "not_authentic"
    renamed = parse(written(m9=KEY))
    moved = WrappedKey(wrapped.wrapped, "m9")
    assert code(lambda: renamed.unwrap(moved, customer_uuid=customer, purpose="record", version=1)) == "not_authentic"


@pytest.mark.parametrize("damage", [b"", b"short", bytes(12), bytes(60)])
def test_a_damaged_wrapping_is_refused(damage: bytes) -> None:
    masters = parse(written(m1=KEY))
    assert code(
        lambda: masters.unwrap(WrappedKey(damage, "m1"), customer_uuid=uuid4(), purpose="record", version=1)
    ) == ("not_authentic")


def test_a_missing_master_key_is_named() -> None:
    masters = parse(written(m1=KEY))
    with pytest.raises(MasterKeyError, match="'m7'"):
        masters.unwrap(WrappedKey(bytes(60), "m7"), customer_uuid=uuid4(), purpose="record", version=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "none"),
        (" , ", "none"),
        ("no-colon", "malformed"),
        (":" + base64.b64encode(KEY).decode(), "malformed"),
        ("bad id:" + base64.b64encode(KEY).decode(), "malformed"),
        ("m1:not base64!", "malformed"),
        ("m1:" + base64.urlsafe_b64encode(b"\xff" * 32).decode(), "malformed"),
        ("m1:", "short"),
        ("m1:" + base64.b64encode(KEY[:31]).decode(), "short"),
        ("m1:" + base64.b64encode(KEY + b"x").decode(), "short"),
        (written(m1=KEY) + "," + written(m1=OTHER), "duplicate"),
        (written(m1=KEY, m2=KEY), "duplicate"),
    ],
)
def test_bad_master_keys_are_refused_without_quoting_them(text: str, expected: str) -> None:
    with pytest.raises(MasterKeyError) as caught:
        parse(text)
    assert caught.value.code == expected
    material = text.partition(":")[2]
    assert not material or material not in str(caught.value)


def test_master_keys_show_nowhere() -> None:
    assert base64.b64encode(KEY).decode() not in repr(parse(written(m1=KEY)))
    assert repr(KEY) not in repr(parse(written(m1=KEY)))


def code(attempt: object) -> str:
    with pytest.raises(MasterKeyError) as caught:
        attempt()  # type: ignore[operator]
    return caught.value.code
