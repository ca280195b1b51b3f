"""`python -m deployments.chores migrate|deploy`: jobs of the supervisor that need what it does not import itself."""

from __future__ import annotations

import asyncio
import os
import sys

from deployments.language import explain_error
from deployments.prefect_server import wait_until_healthy


def migrate_database() -> None:
    """Bring the configured database to the newest schema, and see that a shadow is a shadow. Raises `BookMixed`."""
    from models.database import DatabaseMissing, migrate, transact, utcnow
    from models.settings import settings
    from models.shadow import open_book_as

    url = settings().database_url
    if url is None:
        raise DatabaseMissing
    migrate(url.get_secret_value())
    transact(lambda session: open_book_as(session, settings().shadow, utcnow()))


def deploy_catalogue() -> None:
    """Carry the catalogue to the Prefect server, once it answers; the imports overlap with its start."""
    from deployments.catalogue import AUTOMATIONS, DEPLOYMENTS, POOLS
    from deployments.deploy import deploy, load_flow

    for entry in DEPLOYMENTS:
        load_flow(entry)
    wait_until_healthy(os.environ["PREFECT_API_URL"])
    report = asyncio.run(deploy(POOLS, DEPLOYMENTS, AUTOMATIONS))
    print(f"deployed: {report.writes} written, {len(report.unchanged)} unchanged")


CHORES = {"migrate": migrate_database, "deploy": deploy_catalogue}


def main() -> None:
    """Do one chore."""
    if len(sys.argv) != 2 or sys.argv[1] not in CHORES:
        sys.exit(f"usage: python -m deployments.chores {'|'.join(CHORES)}")
    try:
        CHORES[sys.argv[1]]()
    except Exception as error:
        if hasattr(error, "english"):
            sys.exit(explain_error(error))  # the supervisor repeats the last words of the log
        raise


if __name__ == "__main__":
    main()
