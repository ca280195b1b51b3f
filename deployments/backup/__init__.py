"""`orderloom backup | restore`: everything the databases hold, in one dated directory.

A backup holds one `pg_dump` file per database and a manifest of versions, row counts and checksums. Not in it: the
settings file, whose `privacy_key` opens the personal data; keep that file elsewhere, and keep it.
"""

from deployments.backup.errors import BackupProblem, DamagedBackup, DatabaseInUse, NotEmpty, ToolFailed
from deployments.backup.manifest import Dump, Manifest, read_manifest
from deployments.backup.restoring import Restored, restore
from deployments.backup.taking import backup

__all__ = [
    "BackupProblem",
    "DamagedBackup",
    "DatabaseInUse",
    "Dump",
    "Manifest",
    "NotEmpty",
    "Restored",
    "ToolFailed",
    "backup",
    "read_manifest",
    "restore",
]
