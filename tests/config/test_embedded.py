"""The embedded servers, started for real: life, death, leftovers, users, permissions."""

import errno
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from config import embedded
from config.embedded import EmbeddedError, EmbeddedServers, account, leftovers
from config.processes import Account
from tests.config.probes import command_line_of, is_alive, mode, query, tcp_listeners, wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run the servers as another user")
WITH_PROC = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="reads /proc")


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One cluster for the whole module: each test starts and stops it."""
    path = Path(tempfile.mkdtemp(prefix="ls-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def servers(home: Path, said: list[str]) -> Iterator[EmbeddedServers]:
    own = EmbeddedServers(home / "data", durable=False, say=said.append)
    yield own
    own.stop()


def test_starts_answers_and_stops(servers: EmbeddedServers, home: Path) -> None:
    addresses = servers.start(output=home / "log")
    assert addresses == embedded.addresses(home / "data")
    assert set(servers.children) == {"postgres", "valkey"}
    assert query(addresses.database_url, "select rolsuper from pg_roles where rolname = current_user") == [(False,)]
    assert query(addresses.database_url, "show data_checksums") == [("on",)]
    assert redis.Redis.from_url(addresses.redis_url).config_get("maxmemory-policy") == {
        "maxmemory-policy": "noeviction"
    }
    assert embedded.is_running(home / "data")
    embedded.require_running(home / "data")

    servers.stop()
    assert not embedded.is_running(home / "data")
    with pytest.raises(EmbeddedError, match="start `make up` in another terminal, or set DATABASE_URL"):
        embedded.require_running(home / "data")


def test_recovers_what_was_committed_before_a_kill(servers: EmbeddedServers, home: Path, said: list[str]) -> None:
    url = servers.start(output=home / "log").database_url
    query(url, "create table if not exists kept (n int)", "insert into kept values (1)", "select 1")
    (postgres,) = (spec for spec in servers.specs() if spec.name == "postgres")
    for child in servers.children.values():
        child.kill()
        child.wait()
    assert postgres.waits_for(servers.children["postgres"].pid) == "PostgreSQL is recovering after a crash"
    servers.stop()
    assert (home / "data/postgres/postmaster.pid").exists()
    assert (home / "data/sockets/valkey.sock").exists()

    again = EmbeddedServers(home / "data", durable=False, say=said.append)
    try:
        url = again.start(output=home / "log").database_url
        assert query(url, "select count(*) from kept") == [(1,)]
        query(url, "drop table kept", "select 1")
    finally:
        again.stop()
    assert postgres.waits_for(0) == "PostgreSQL starts"


@WITH_PROC
def test_a_pid_file_that_names_a_living_stranger_is_stale(
    servers: EmbeddedServers, home: Path, said: list[str]
) -> None:
    servers.start(output=home / "log")
    servers.children["postgres"].kill()
    servers.children["postgres"].wait()
    pid_file = home / "data/postgres/postmaster.pid"
    lines = pid_file.read_text().splitlines()
    servers.stop()

    owner = pid_file.stat()
    user = owner.st_uid if os.geteuid() == 0 else None
    stranger = subprocess.Popen(["sleep", "60"], user=user)
    try:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        servers.start(output=home / "log")
        assert any("the file is stale" in line for line in said)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_root_follows_no_link_of_the_servers_user(tmp_home: Path) -> None:
    precious = tmp_home / "precious"
    precious.write_text("kept")
    (tmp_home / "symbolic").symlink_to(precious)
    (tmp_home / "hard").hardlink_to(precious)
    for name in ("symbolic", "hard"):
        with pytest.raises((OSError, EmbeddedError)):
            leftovers.rewrite(tmp_home / name, "overwritten")
    assert precious.read_text() == "kept"


def test_a_half_made_cluster_is_made_again(said: list[str], tmp_home: Path) -> None:
    half = tmp_home / "data/postgres.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    own = EmbeddedServers(tmp_home / "data", durable=False, say=said.append)
    try:
        assert query(own.start(output=tmp_home / "log").database_url, "select 1") == [(1,)]
        assert not half.exists()
    finally:
        own.stop()


def test_a_second_start_is_refused(servers: EmbeddedServers, home: Path) -> None:
    servers.start(output=home / "log")
    with pytest.raises(EmbeddedError, match=f"Process {os.getpid()} already runs the embedded servers"):
        EmbeddedServers(home / "data", say=lambda _line: None).start()
    assert embedded.is_running(home / "data")


def test_only_the_owner_can_read_sockets_data_and_secrets(servers: EmbeddedServers, home: Path) -> None:
    servers.start(output=home / "log")
    data = home / "data"
    # Where root runs Longshore the servers' user may pass through DATA_DIR, and nobody may read it.
    assert mode(data) == (0o701 if os.geteuid() == 0 else 0o700)
    for name in ("postgres", "sockets", "run", "secrets"):
        assert mode(data / name) == 0o700, name
    for path in (data / "secrets").iterdir():
        assert mode(path) == 0o600, path
        assert path.stat().st_uid == os.geteuid()
    assert mode(data / "sockets/.s.PGSQL.5432") == 0o700
    assert mode(data / "sockets/valkey.sock") == 0o700
    for child in servers.children.values():
        words = command_line_of(child.pid)
        assert not any(secret.read_text().strip() in words for secret in (data / "secrets").iterdir())


def test_nothing_listens_on_tcp(servers: EmbeddedServers, home: Path) -> None:
    before = set(tcp_listeners(os.getpid()))
    with socket.create_server(("127.0.0.1", 0)) as seen:
        assert set(tcp_listeners(os.getpid())) - before == {f"127.0.0.1:{seen.getsockname()[1]}"}
    servers.start(output=home / "log")
    for child in servers.children.values():
        assert tcp_listeners(child.pid) == []


@WITH_PROC
def test_our_secrets_are_not_in_the_servers_environment(
    home: Path, servers: EmbeddedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASTER_KEYS", "m1:canary")
    servers.start(output=home / "log")
    for child in servers.children.values():
        assert b"canary" not in Path(f"/proc/{child.pid}/environ").read_bytes()


def test_a_password_is_required(servers: EmbeddedServers, home: Path) -> None:
    addresses = servers.start(output=home / "log")
    sockets = home / "data/sockets"
    for user in ("longshore", "postgres"):
        for password in ("", "wrong"):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(host=str(sockets), user=user, password=password, dbname="postgres")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(sockets / "valkey.sock"))
        for command, refusal in (
            (b"PING", b"-NOAUTH"),
            (b"AUTH wrong", b"-WRONGPASS"),
            (b"PING", b"-NOAUTH"),
        ):
            connection.sendall(command + b"\r\n")
            assert connection.recv(200).startswith(refusal)
    assert query(addresses.database_url, "select 1") == [(1,)]


@AS_ROOT
def test_root_runs_them_as_an_unprivileged_user(servers: EmbeddedServers, home: Path, said: list[str]) -> None:
    servers.start(output=home / "log")
    owner = (home / "data/postgres").stat().st_uid
    assert owner != 0
    name = pwd.getpwuid(owner).pw_name
    assert f"running as root: the embedded servers run as {name}" in said
    for child in servers.children.values():
        assert Path(f"/proc/{child.pid}").stat().st_uid == owner
        status = Path(f"/proc/{child.pid}/status").read_text()
        assert re.search(r"^Groups:\s*$", status, re.MULTILINE), "no group of root's may be left"


@AS_ROOT
def test_another_user_of_the_machine_cannot_connect(servers: EmbeddedServers, home: Path) -> None:
    servers.start(output=home / "log")
    owner = (home / "data/postgres").stat().st_uid
    stranger = next(entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid not in (0, owner))
    # No password helps: the directory of the sockets does not open.
    for path in ("data/sockets/.s.PGSQL.5432", "data/sockets/valkey.sock"):
        assert connect_as(owner, home / path) == 0
        assert connect_as(stranger, home / path) == errno.EACCES


@AS_ROOT
def test_the_way_gets_only_what_is_missing_and_says_so(tmp_home: Path, said: list[str]) -> None:
    closed, open_ = tmp_home / "closed", tmp_home / "closed/open"
    open_.mkdir(parents=True)
    closed.chmod(0o750)
    open_.chmod(0o755)
    nobody = pwd.getpwnam("nobody")
    account.open_way(open_, Account(nobody.pw_uid, nobody.pw_gid, "nobody"), said.append)
    assert mode(closed) == 0o751
    assert mode(open_) == 0o755
    assert mode(tmp_home) == 0o701
    assert [line.split(",")[0] for line in said] == [f"chmod o+x {tmp_home}", f"chmod o+x {closed}"]


@AS_ROOT
def test_root_is_refused_as_the_servers_user(tmp_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDDED_USER", "root")
    with pytest.raises(EmbeddedError, match="must not be root"):
        EmbeddedServers(tmp_home / "data", say=lambda _line: None).start()
    monkeypatch.setenv("EMBEDDED_USER", "no-such-user")
    with pytest.raises(EmbeddedError, match="There is no user no-such-user"):
        EmbeddedServers(tmp_home / "data", say=lambda _line: None).start()


def test_another_major_version_is_refused_with_the_way_out(servers: EmbeddedServers, home: Path) -> None:
    servers.start(output=home / "log")
    servers.stop()
    version = home / "data/postgres/PG_VERSION"
    version.write_text("16\n")
    try:
        with pytest.raises(EmbeddedError, match=r"written by PostgreSQL 16.*pg_dump"):
            servers.start(output=home / "log")
    finally:
        version.write_text("18\n")


def test_a_lost_password_is_not_replaced_beside_data(servers: EmbeddedServers, home: Path) -> None:
    servers.start(output=home / "log")
    servers.stop()
    password = home / "data/secrets/postgres_password"
    kept = password.rename(home / "kept")
    try:
        with pytest.raises(EmbeddedError, match="Put the secrets directory back"):
            servers.start(output=home / "log")
        embedded.prepare(home / "data")
        assert not password.exists()
    finally:
        kept.rename(password)


def test_a_deep_data_dir_gets_a_short_socket_directory(tmp_home: Path, said: list[str]) -> None:
    data = tmp_home / ("d" * 60) / ("e" * 60) / "with space, comma and ü%"
    own = EmbeddedServers(data, durable=False, say=said.append)
    try:
        addresses = own.start(output=tmp_home / "log")
        sockets = embedded.Layout(data).sockets
        assert len(str(sockets)) < 80
        assert mode(sockets) == 0o700
        assert query(addresses.database_url, "select 1") == [(1,)]
        assert redis.Redis.from_url(addresses.redis_url).ping()
        # A copy of the DATA_DIR does not share the sockets of the original.
        copy = data.with_name("copy")
        shutil.copytree(data / "run", copy / "run")
        assert embedded.Layout(copy).sockets != sockets
    finally:
        own.stop()
    sockets.rmdir()
    # Someone else may take the name meanwhile: it is not used, and another one is made.
    sockets.symlink_to(tmp_home)
    own.layout.create_sockets(os.geteuid(), os.getegid())
    assert own.layout.sockets != sockets
    sockets.unlink()
    own.layout.sockets.rmdir()


def test_addresses_write_nothing_unless_asked(tmp_home: Path) -> None:
    data = tmp_home / "data"
    before = embedded.addresses(data)
    assert not data.exists()
    assert not embedded.is_running(data)
    after = embedded.addresses(data, create=True)
    assert after != before
    assert after == embedded.addresses(data)
    assert mode(data) == 0o700


def test_an_open_directory_of_ours_is_closed_and_a_shared_one_is_left(tmp_home: Path) -> None:
    ours, shared = tmp_home / "ours", tmp_home / "shared"
    (ours / "secrets").mkdir(parents=True)
    (shared / "photographs").mkdir(parents=True)
    for path in (ours, ours / "secrets", shared):
        path.chmod(0o755)
    embedded.prepare(ours)
    embedded.prepare(shared)
    assert (mode(ours), mode(ours / "secrets")) == (0o700, 0o700)
    assert (mode(shared), mode(shared / "secrets")) == (0o755, 0o700)


@WITH_PROC
def test_the_servers_die_with_the_process_that_started_them(tmp_home: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from config.embedded import EmbeddedServers\n"
        "own = EmbeddedServers(Path(sys.argv[1]), durable=False)\n"
        "own.start(); print(*(child.pid for child in own.children.values()), flush=True); time.sleep(60)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_home / "data")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=REPOSITORY,
    )
    assert starter.stdout is not None
    pids = [int(word) for word in starter.stdout.readline().split()]
    assert len(pids) == 2
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    wait_until(lambda: not any(is_alive(pid) for pid in pids))
    assert leftovers.processes_in(tmp_home / "data/postgres") == []
    # And the next start waits for nothing and works.
    own = EmbeddedServers(tmp_home / "data", durable=False, say=lambda _line: None)
    try:
        assert query(own.start().database_url, "select 1") == [(1,)]
    finally:
        own.stop()


@pytest.fixture
def tmp_home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="ls-"))
    yield path
    shutil.rmtree(path)


def connect_as(uid: int, path: Path) -> int:
    """The error number another user of this machine gets on connecting, 0 for none."""
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        os._exit(socket.socket(socket.AF_UNIX).connect_ex(str(path)))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
