"""`manage.py up` as a person runs it: a fresh DATA_DIR, real servers, kills, and what it says."""

import base64
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from config.listening import Address
from tests.config.probes import command_line_of, is_alive, tcp_listeners, wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
OUTSIDE = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "MASTER_KEYS", "MASTER_KEYS_FILE", "HOST", "PROCESS_NAME")


class House:
    """One DATA_DIR and one port, and the supervisors started on them."""

    def __init__(self, home: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.log = home / "log"
        self.environment = {name: value for name, value in os.environ.items() if name not in OUTSIDE} | {
            "DATA_DIR": str(home / "data"),
            "PORT": str(self.port),
            "WORKERS": "1",
            "WEB": "1",
        }
        self.supervisor: subprocess.Popen[bytes] | None = None

    def up(self) -> "subprocess.Popen[bytes]":
        supervisor = self.start()
        wait_until(lambda: self.said("ready http") or self._ended(), seconds=90)
        assert self.said(f"ready http://127.0.0.1:{self.port}\n"), self.log.read_text()
        return supervisor

    def start(self) -> "subprocess.Popen[bytes]":
        with self.log.open("wb") as log:
            self.supervisor = subprocess.Popen(
                [sys.executable, "manage.py", "up"], stdout=log, stderr=log, cwd=REPOSITORY, env=self.environment
            )
        return self.supervisor

    def manage(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
            env=self.environment,
            check=False,
        )

    def said(self, text: str) -> bool:
        return text in self.log.read_text()

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def protocol(self, context: ssl.SSLContext) -> str | None:
        """The TLS version agreed with the web process, None where there is no agreement."""
        try:
            with (
                socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
            ):
                return secure.version()
        except OSError:
            return None

    def family(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]

    def child(self, role: str) -> int | None:
        """The supervisor's own child whose command line names the role, or that is this server."""
        for child in psutil.Process(self.pid).children():
            words = command_line_of(child.pid)
            if f"manage.py {role}" in words or f"/bin/{role} " in words or f"/{role}-server " in words:
                return int(child.pid)
        return None

    def kill(self, role: str) -> None:
        """kill -9, and wait until the whole house is ready with another process in that role."""
        first = self.child(role)
        assert first is not None
        own = [first, *(child.pid for child in psutil.Process(first).children(recursive=True))]
        os.kill(first, signal.SIGKILL)
        # granian's workers share the port: one that survived its parent would go on answering.
        wait_until(lambda: not any(is_alive(pid) for pid in own))
        wait_until(lambda: self.child(role) not in (None, first) and self.is_ready(), seconds=60)

    @property
    def pid(self) -> int:
        assert self.supervisor is not None
        return self.supervisor.pid

    def _ended(self) -> bool:
        return self.supervisor is not None and self.supervisor.poll() is not None


@pytest.fixture
def house() -> Iterator[House]:
    home = Path(tempfile.mkdtemp(prefix="ls-"))
    own = House(home)
    yield own
    if own.supervisor is not None and own.supervisor.poll() is None:
        own.supervisor.terminate()
        own.supervisor.wait(60)
    shutil.rmtree(home)


def test_the_house_serves_survives_kills_and_stops(house: House) -> None:
    supervisor = house.up()
    wait_until(lambda: house.said("No customer yet"))
    assert house.said("manage.py create_admin\n")
    assert house.said("manage.py create_customer NAME\n")
    assert tcp_listeners(house.pid) == [f"127.0.0.1:{house.port}"]

    second = house.manage("up")
    assert second.returncode == 1
    assert f"process {house.pid} serves http://127.0.0.1:{house.port}" in second.stderr
    assert "Traceback" not in second.stderr

    made = house.manage("create_customer", "Northwind", "--json")
    assert set(json.loads(made.stdout)) == {"customer", "keyId", "secret"}, made.stderr

    for role in ("web", "valkey", "postgres"):
        house.kill(role)

    family = house.family()
    assert len(family) > 6
    supervisor.kill()
    supervisor.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in family))

    with socket.create_server(("127.0.0.1", house.port)):
        supervisor = house.start()
        still_held = f"waiting for port {house.port} of 127.0.0.1, which another process still holds"
        wait_until(lambda: house.said(still_held) or supervisor.poll() is not None)
        assert house.said(still_held), house.log.read_text()
    wait_until(lambda: house.said("No admin yet"), seconds=90)
    assert house.said(f"ready http://127.0.0.1:{house.port}\n")
    assert not house.said("No customer yet")
    family = house.family()
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(60) == 0
    assert not any(is_alive(pid) for pid in family)
    assert not house.said("Traceback"), house.log.read_text()


def test_a_taken_port_is_said_before_anything_starts(house: House) -> None:
    with socket.create_server(("127.0.0.1", house.port)):
        done = house.manage("up")
    assert done.returncode == 1
    assert f"Port {house.port} of 127.0.0.1 is taken by another program. Set PORT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["worker", "sweeper", "web", "migrate", "create_admin"])
def test_a_command_without_servers_says_what_to_start(house: House, command: str) -> None:
    done = house.manage(command)
    assert done.returncode == 1
    data_dir = house.environment["DATA_DIR"]
    assert done.stderr.strip() == (
        f"No embedded servers run for DATA_DIR={data_dir}: start `make up` in another terminal, or set DATABASE_URL "
        "and REDIS_URL."
    )


def test_a_wrong_setting_is_one_sentence(house: House) -> None:
    house.environment["PORT"] = "eighty"
    done = house.manage("check")
    assert done.returncode == 1
    assert done.stderr.strip() == "PORT must be a whole number, and it is 'eighty'."


def test_a_certificate_means_tls_1_3_and_nothing_older(house: House, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    house.environment |= {
        "TLS_CERTIFICATE": str(certificate),
        "TLS_KEY": str(key),
        "DATABASE_URL": "postgresql://nobody@/none?host=/nonexistent",
        "REDIS_URL": "unix:///nonexistent/valkey.sock",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "MASTER_KEYS": "t1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
    }
    web = subprocess.Popen([sys.executable, "manage.py", "web"], cwd=REPOSITORY, env=house.environment)
    try:
        context = ssl.create_default_context(cafile=certificate)
        wait_until(lambda: house.protocol(context) == "TLSv1.3" or web.poll() is not None, seconds=60)
        assert house.protocol(context) == "TLSv1.3"
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        assert house.protocol(context) is None
        address = Address("127.0.0.1", house.port, certificate, key)
        assert address.url == f"https://127.0.0.1:{house.port}"
        assert address.answer("/health", host_header="127.0.0.1") == 200
    finally:
        web.terminate()
        assert web.wait(30) == 0


def test_half_a_certificate_is_refused(house: House) -> None:
    house.environment |= {"TLS_CERTIFICATE": "/etc/hostname"}
    done = house.manage("up")
    assert done.returncode == 1
    assert done.stderr.strip() == "Set both TLS_CERTIFICATE and TLS_KEY, or neither."


def make_certificate(directory: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "certificate.pem", directory / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths
