"""What the guides tell people to type works as it stands there, and their tables say what the code says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from customers import signing
from tests.flows.house import ROOT, Credentials, House

README = (ROOT / "README.md").read_text()
CALLERS = (ROOT / "docs" / "callers.md").read_text()
OPERATORS = (ROOT / "docs" / "operators.md").read_text()

# Of the environment, and none of Longshore's settings.
FOREIGN = {"XDG_RUNTIME_DIR", "DJANGO_SETTINGS_MODULE", "PYTHONPATH", "PYTHONUNBUFFERED"}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def run(command: list[str], house: House, credentials: Credentials) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "LONGSHORE_URL": house.url,
        "LONGSHORE_KEY_ID": credentials.key_id,
        "LONGSHORE_SECRET": credentials.secret,
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_signed_call_of_the_readme_is_accepted(house: House) -> None:
    (program,) = blocks(README, "python")
    printed = run([sys.executable, "-I", "-c", program], house, house.enrol("Reader"))
    assert printed.startswith("202 {'jobId'")
    assert "(200, {'status'" in printed


def test_the_shell_calls_of_the_callers_guide_are_accepted(house: House) -> None:
    (script,) = [block for block in blocks(CALLERS, "sh") if "call()" in block]
    lookup = "call POST /api/v1/records/lookup"
    assert lookup in script
    # The record is there once its batch is done.
    patient = script.replace(lookup, f"sleep 5\n{lookup}")
    printed = run(["bash", "-eu", "-o", "pipefail", "-c", patient.replace("$3", "${3-}")], house, house.enrol("Shell"))
    accepted, listed, found = printed.replace("}{", "}\n{").splitlines()
    assert '"status":"pending"' in accepted
    assert listed.startswith('{"imports":[{')
    assert '"name":"Grace"' in found


def vectors() -> list[tuple[str, str, str, str]]:
    rows = re.findall(r"^\| `(GET|POST) (\S+)` \|(.*?)\|(.*?)\| `(\S{43})` \|$", CALLERS, re.MULTILINE)
    return [(f"{method} {target}", kind.strip("` "), body.strip("` "), mac) for method, target, kind, body, mac in rows]


def test_there_are_test_vectors() -> None:
    assert len(vectors()) == 3


@pytest.mark.parametrize(("call", "content_type", "body", "mac"), vectors())
def test_the_test_vectors_are_what_the_server_computes(call: str, content_type: str, body: str, mac: str) -> None:
    method, target = call.split(" ")
    header = signing.sign_request(
        "bk_test_0001",
        "lsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        method=method,
        host="api.example.com",
        target=target,
        content_type=content_type,
        body_sha256=signing.body_digest(body.encode()),
        timestamp=1710460800,
        nonce="AAECAwQFBgcICQoLDA0ODw",
    )
    assert header.endswith(f".{mac}")


def test_the_operators_guide_names_every_variable_that_is_read() -> None:
    sources = [ROOT / "manage.py", *(ROOT / "config").rglob("*.py")]
    pattern = r'(?:env\.(?:text|integer|flag|listing|required)|environ\.get|servers\.secret)\(\s*"([A-Z_]+)"'
    read = {name for source in sources for name in re.findall(pattern, source.read_text())}
    assert {"PORT", "DATABASE_URL", "SECRET_KEY"} <= read
    read |= {"TLS_CERTIFICATE", "TLS_KEY", "MASTER_KEYS_FILE"}
    table = OPERATORS[OPERATORS.index("## Environment variables") : OPERATORS.index("## Files")]
    named = set(re.findall(r"`([A-Z_]+)`", "\n".join(line.split(" | ")[0] for line in table.splitlines())))
    assert named == read - FOREIGN


@pytest.mark.parametrize("page", ["README.md", "docs/callers.md", "docs/operators.md"])
def test_every_link_to_a_file_leads_somewhere(page: str) -> None:
    place = ROOT / page
    links = re.findall(r"\]\((?!https?:)([^)#]+)", place.read_text())
    assert links
    assert [link for link in links if not (place.parent / Path(link)).exists()] == []
