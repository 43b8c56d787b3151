"""What stands where in DATA_DIR. Every directory is 0700 and every secret 0600."""

import contextlib
import json
import os
import secrets
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from config.processes import CannotStart

# sun_path holds 107 bytes on Linux and 103 on macOS.
MAX_SOCKET_PATH = 100
POSTGRES_SOCKET = ".s.PGSQL.5432"
VALKEY_SOCKET = "valkey.sock"
_OURS = {"demo", "postgres", "run", "secrets", "sockets"}


class EmbeddedError(CannotStart):
    """The embedded servers cannot do what was asked. The message says what to do and is shown as it is."""


@dataclass(frozen=True)
class Layout:
    """The paths below one DATA_DIR."""

    data_dir: Path

    @property
    def cluster(self) -> Path:
        """PostgreSQL's data directory."""
        return self.data_dir / "postgres"

    @property
    def secrets(self) -> Path:
        """Generated passwords and keys, for the person who runs Longshore only."""
        return self.data_dir / "secrets"

    @property
    def run(self) -> Path:
        """Locks of the processes that run now."""
        return self.data_dir / "run"

    @property
    def sockets(self) -> Path:
        """The directory of both sockets: in DATA_DIR, or a short one elsewhere where that is too long."""
        if self._sockets_fit():
            return self.data_dir / "sockets"
        return self._recorded() or self.data_dir / "sockets"

    @property
    def postgres_socket(self) -> Path:
        return self.sockets / POSTGRES_SOCKET

    @property
    def valkey_socket(self) -> Path:
        return self.sockets / VALKEY_SOCKET

    def password(self, name: str) -> str:
        """The stored password, or "" where none has been made."""
        try:
            return (self.secrets / name).read_text().strip()
        except FileNotFoundError:
            return ""
        except PermissionError as err:
            raise EmbeddedError(
                f"{self.secrets / name} belongs to another user. Run this as the user who runs Longshore, "
                "or choose another DATA_DIR."
            ) from err

    def create_password(self, name: str) -> None:
        """Make the password where there is none. Two processes that start together read the same one."""
        path = self.secrets / name
        if path.exists():
            path.chmod(0o600)
            return
        temporary = self.secrets / f".{name}.{secrets.token_hex(8)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(32) + "\n")
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            temporary.unlink()

    def create(self) -> None:
        """Make DATA_DIR and the directories of the person who runs Longshore."""
        try:
            if not _is_shared(self.data_dir):
                _make_private(self.data_dir)
            for path in (self.secrets, self.run):
                _make_private(path)
        except OSError as err:
            raise EmbeddedError(
                f"DATA_DIR {self.data_dir} cannot be written ({err.strerror}). Choose another DATA_DIR, or "
                "run as its owner."
            ) from err

    def create_sockets(self, uid: int, gid: int) -> None:
        """Make the directory of the sockets for the servers' user. A foreign or open one is never used."""
        if not self._sockets_fit() and not self._is_ours(self.sockets, uid):
            base = os.environ.get("XDG_RUNTIME_DIR", "") if uid == os.geteuid() else ""
            if not Path(base).is_dir() or not base or len(base) > 60:
                base = "/tmp"  # noqa: S108 - mkdtemp makes the name, and the owner is verified at each start
            self._record(Path(tempfile.mkdtemp(prefix="longshore-", dir=base)))
        path = self.sockets
        if not path.exists():
            path.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(path, uid, gid, follow_symlinks=False)
        if self._is_ours(path, uid):
            path.chmod(0o700)
        else:
            raise EmbeddedError(f"{path} must be a directory of the user who runs the servers. Move it away.")

    def _sockets_fit(self) -> bool:
        return len(os.fsencode(self.data_dir / "sockets" / POSTGRES_SOCKET)) <= MAX_SOCKET_PATH

    @property
    def _record_file(self) -> Path:
        return self.run / "sockets.json"

    def _recorded(self) -> Path | None:
        try:
            recorded = json.loads(self._record_file.read_text())
        except (OSError, ValueError):
            return None
        # A copy of a DATA_DIR must not share the sockets of the original.
        return Path(recorded["sockets"]) if recorded["data_dir"] == str(self.data_dir) else None

    def _record(self, path: Path) -> None:
        self._record_file.write_text(json.dumps({"sockets": str(path), "data_dir": str(self.data_dir)}))

    @staticmethod
    def _is_ours(path: Path, uid: int) -> bool:
        try:
            found = path.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid in (uid, os.geteuid())


def _make_private(path: Path) -> None:
    """Make a directory that only its owner can read, or close one of ours that is open."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
    found = path.stat()
    if found.st_uid == os.geteuid() and found.st_mode & 0o066:
        path.chmod(0o700)


def _is_shared(path: Path) -> bool:
    """Whether the directory holds things that are not Longshore's, as /srv or /tmp would."""
    return path.is_dir() and any(entry.name.split(".")[0] not in _OURS for entry in path.iterdir())
