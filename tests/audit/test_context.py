import asyncio
import threading

import pytest
from asgiref.sync import sync_to_async

from audit.context import Actor, Context, acting_as, current_context


def test_nobody_acts_until_an_edge_says_so() -> None:
    assert current_context() == Context(actor=None, source_ip=None, request_id="")


def test_an_inner_actor_keeps_the_address_and_the_request() -> None:
    with acting_as(Actor("key", "bk_test_0001"), source_ip="203.0.113.7", request_id="req-1"):
        with acting_as(Actor("system", "worker")):
            assert current_context() == Context(Actor("system", "worker"), "203.0.113.7", "req-1")
        assert current_context().actor == Actor("key", "bk_test_0001")
    assert current_context().actor is None


def test_the_context_ends_with_an_exception() -> None:
    with pytest.raises(KeyError), acting_as(Actor("system", "worker")):
        raise KeyError
    assert current_context().actor is None


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_an_address_has_one_spelling(written: str, kept: str) -> None:
    with acting_as(Actor("system", "worker"), source_ip=written):
        assert current_context().source_ip == kept


@pytest.mark.parametrize("address", ["", "localhost", "203.0.113.7/8", "203.0.113.7, 10.0.0.1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="address"), acting_as(Actor("system", "worker"), source_ip=address):
        pass


@pytest.mark.parametrize("request_id", ["two words", "a\nb", "x" * 129, "é", "jane@example.com"])
def test_a_request_id_that_could_hold_anything_is_refused(request_id: str) -> None:
    with (
        pytest.raises(ValueError, match="request id"),
        acting_as(Actor("system", "worker"), request_id=request_id),
    ):
        pass


@pytest.mark.parametrize(("kind", "name"), [("robot", "x"), ("staff", ""), ("staff", "a b"), ("key", "x" * 151)])
def test_an_actor_has_a_known_kind_and_a_name(kind: str, name: str) -> None:
    with pytest.raises(ValueError, match="actor"):
        Actor(kind, name)  # type: ignore[arg-type]


def test_the_context_follows_awaits_and_worker_threads_but_no_plain_thread() -> None:
    seen: dict[str, Actor | None] = {}

    def look(name: str) -> None:
        seen[name] = current_context().actor

    async def request(key: str) -> None:
        with acting_as(Actor("key", key)):
            await asyncio.sleep(0)
            await sync_to_async(look)(f"{key} sync_to_async")
            await sync_to_async(look, thread_sensitive=False)(f"{key} own thread")
            await asyncio.to_thread(look, f"{key} to_thread")
            plain = threading.Thread(target=look, args=(f"{key} plain",))
            plain.start()
            plain.join()

    async def both() -> None:
        await asyncio.gather(request("one"), request("two"))

    asyncio.run(both())
    for key in ("one", "two"):
        assert seen[f"{key} plain"] is None
        for way in ("sync_to_async", "own thread", "to_thread"):
            assert seen[f"{key} {way}"] == Actor("key", key)
