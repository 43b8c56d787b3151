import pytest
from hypothesis import given
from hypothesis import strategies as st

from customers.networks import client_address, is_allowed, malformed

PROXY, CALLER, FORGED = "10.0.0.9", "203.0.113.7", "198.51.100.66"
TRUSTED = [PROXY, "fd00::/8"]

# What reached us, and whom the allow list is to see. Only the last entry of one header from a trusted peer counts.
CASES: list[tuple[str, str | None, list[str], list[str], str | None]] = [
    ("no header", CALLER, [], TRUSTED, CALLER),
    ("forged by a direct caller", CALLER, [FORGED], TRUSTED, CALLER),
    ("forged list by a direct caller", CALLER, [f"{FORGED}, {PROXY}"], TRUSTED, CALLER),
    ("forged twice by a direct caller", CALLER, [FORGED, FORGED], TRUSTED, CALLER),
    ("nobody is trusted", PROXY, [FORGED], [], PROXY),
    ("proxy overwrote", PROXY, [CALLER], TRUSTED, CALLER),
    ("proxy appended", PROXY, [f"{FORGED}, {CALLER}"], TRUSTED, CALLER),
    ("proxy appended to three", PROXY, [f"{FORGED}, {FORGED},{FORGED}, {CALLER}"], TRUSTED, CALLER),
    ("the proxy's own name forged left", PROXY, [f"{PROXY}, {CALLER}"], TRUSTED, CALLER),
    ("proxy added a second header", PROXY, [FORGED, CALLER], TRUSTED, PROXY),
    ("two equal headers", PROXY, [CALLER, CALLER], TRUSTED, PROXY),
    ("no header from the proxy", PROXY, [], TRUSTED, PROXY),
    ("empty header", PROXY, [""], TRUSTED, PROXY),
    ("blank header", PROXY, ["  "], TRUSTED, PROXY),
    ("empty last entry", PROXY, [f"{CALLER}, "], TRUSTED, PROXY),
    ("only a comma", PROXY, [","], TRUSTED, PROXY),
    ("unknown", PROXY, ["unknown"], TRUSTED, PROXY),
    ("a name", PROXY, ["localhost"], TRUSTED, PROXY),
    ("with a port", PROXY, [f"{CALLER}:443"], TRUSTED, PROXY),
    ("in brackets", PROXY, ["[2001:db8::1]"], TRUSTED, PROXY),
    ("in brackets with a port", PROXY, ["[2001:db8::1]:443"], TRUSTED, PROXY),
    ("quoted", PROXY, [f'"{CALLER}"'], TRUSTED, PROXY),
    ("as Forwarded", PROXY, [f"for={CALLER}"], TRUSTED, PROXY),
    ("as a network", PROXY, [f"{CALLER}/32"], TRUSTED, PROXY),
    ("separated by a space", PROXY, [f"{FORGED} {CALLER}"], TRUSTED, PROXY),
    ("separated by a semicolon", PROXY, [f"{FORGED};{CALLER}"], TRUSTED, PROXY),
    ("octal", PROXY, ["0313.0.0161.07"], TRUSTED, PROXY),
    ("one number", PROXY, ["3405803783"], TRUSTED, PROXY),
    ("short form", PROXY, ["127.1"], TRUSTED, PROXY),
    ("full-width digits", PROXY, ["\uff12\uff10\uff13.0.113.7"], TRUSTED, PROXY),
    ("line feed inside", PROXY, [f"{CALLER}\n{FORGED}"], TRUSTED, PROXY),
    ("NUL after", PROXY, [f"{CALLER}\x00"], TRUSTED, PROXY),
    ("with a zone", PROXY, ["fe80::1%eth0"], TRUSTED, PROXY),
    ("IPv6 from an IPv6 proxy", "fd00::9", ["2001:DB8:0::1"], TRUSTED, "2001:db8::1"),
    ("IPv4 inside IPv6", PROXY, ["::ffff:203.0.113.7"], TRUSTED, CALLER),
    ("proxy as IPv4 inside IPv6", "::ffff:10.0.0.9", [CALLER], TRUSTED, CALLER),
    ("caller as IPv4 inside IPv6", "::ffff:203.0.113.7", [FORGED], TRUSTED, CALLER),
    ("peer with a zone", "fe80::1%eth0", [FORGED], TRUSTED, "fe80::1"),
    ("socket that is not trusted", None, [FORGED], TRUSTED, None),
    ("socket path that is not trusted", "/run/longshore.sock", [FORGED], TRUSTED, None),
    ("trusted socket", None, [f"{FORGED}, {CALLER}"], ["unix"], CALLER),
    ("trusted socket path", "unix:/run/longshore.sock", [CALLER], ["unix"], CALLER),
    ("trusted socket without a header", "", [], ["unix"], None),
    ("trusted socket with garbage", None, ["garbage"], ["unix"], None),
    ("a peer named like a socket's trust", "unix", [FORGED], ["unix"], None),
    ("a mistyped trust trusts nobody", PROXY, [FORGED], ["10.0.0.9/33", "10.0.0", "proxy.internal"], PROXY),
]


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "expected"), [pytest.param(*case[1:], id=case[0]) for case in CASES]
)
def test_the_callers_address_cannot_be_forged(
    peer: str | None, forwarded: list[str], trusted: list[str], expected: str | None
) -> None:
    assert client_address(peer, forwarded, trusted) == expected


@given(st.lists(st.text(max_size=40), max_size=3))
def test_no_header_moves_a_caller_who_is_no_proxy(forwarded: list[str]) -> None:
    assert client_address(CALLER, forwarded, TRUSTED) == CALLER


@given(st.text(max_size=40))
def test_nonsense_from_a_proxy_never_crashes(forwarded: str) -> None:
    client_address(PROXY, [forwarded], TRUSTED)


@pytest.mark.parametrize(
    ("address", "networks", "expected"),
    [
        (CALLER, [], True),
        (None, [], True),
        (CALLER, ["203.0.113.0/24"], True),
        (CALLER, ["192.0.2.0/24", "203.0.113.7/32"], True),
        (CALLER, ["192.0.2.0/24"], False),
        (CALLER, ["2001:db8::/32"], False),
        ("::ffff:203.0.113.7", ["203.0.113.0/24"], True),
        (CALLER, ["::ffff:203.0.113.0/120"], True),
        ("2001:db8::1", ["2001:db8::/32"], True),
        ("2001:db9::1", ["2001:db8::/32"], False),
        ("2001:db8::1", ["0.0.0.0/0"], False),
        (CALLER, ["::/0"], False),
        (None, ["0.0.0.0/0"], False),
        ("", ["0.0.0.0/0"], False),
        ("garbage", ["0.0.0.0/0"], False),
        ("fe80::1%eth0", ["fe80::/10"], False),
        (CALLER, ["not a network"], False),
        (CALLER, ["203.0.113.7/24"], False),
    ],
)
def test_only_listed_networks_pass(address: str | None, networks: list[str], expected: bool) -> None:
    assert is_allowed(address, networks) is expected


def test_malformed_proxies_are_named() -> None:
    assert malformed(["10.0.0.0/8", "unix", "::1", "10.0.0.1/8", "proxy.internal", ""]) == [
        "10.0.0.1/8",
        "proxy.internal",
        "",
    ]
