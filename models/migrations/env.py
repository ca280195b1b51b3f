"""Alembic's entry: one connection, one transaction, the URL given by `models.database.migrate`."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool, text

from models.schema import metadata


def run() -> None:
    """Migrate under an advisory lock, so that two processes starting at once do it once."""
    engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(7246001)"))
        connection.commit()
        context.configure(connection=connection, target_metadata=metadata)
        with context.begin_transaction():
            context.run_migrations()
        connection.execute(text("SELECT pg_advisory_unlock(7246001)"))
        connection.commit()
    engine.dispose()


run()
