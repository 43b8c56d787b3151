"""What `longshore verify` explains."""

from tests.clients.cli.answers import Run
from tests.clients.loopback import FakeServer, Reply, Seen


def test_a_good_signature_ends_with_0(server: FakeServer, run: Run) -> None:
    server.on("POST", "/api/v1/auth/verify", Reply(200, {"valid": True, "step": None, "skewSeconds": -20}))
    result = run("verify")
    assert result.status == 0
    assert "The signature is valid." in result.out
    assert "clock is 20 s ahead of the server's" in result.out


def test_the_lines_that_differ_are_shown(server: FakeServer, run: Run) -> None:
    def rewritten(seen: Seen) -> Reply:
        token = seen.headers["authorization"].split(".")
        lines = ["HMAC-SHA256-V1", *token[1:4], "POST", "inner:8000", seen.target, "", token[4]]
        text = "\n".join(lines)
        return Reply(200, {"valid": False, "step": "signature", "skewSeconds": 0, "stringToSign": text})

    server.on("POST", "/api/v1/auth/verify", rewritten)
    result = run("verify")
    assert result.status == 3
    assert f"host: sent '127.0.0.1:{server.server_port}', seen 'inner:8000'" in result.out
    assert result.out.count("sent '") == 1
