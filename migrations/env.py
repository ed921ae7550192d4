"""Alembic's environment: migrate the results store, one process at a time.

Views are dropped before tables change. They are created from their files when the tables are at the
newest revision. Both happen in one transaction.
"""

from alembic import context
from sqlalchemy import create_engine, pool, text

from tumorml.results.replace_views import drop_views, replace_views
from tumorml.results.session import owner_url
from tumorml.results.tables import Base
from tumorml.settings import get_settings

MIGRATION_LOCK = 7_205_759_403_792_794
"""Key of the advisory lock; an arbitrary constant that must be unique in the database."""


def include_name(name: str | None, type_: str, _parents: object) -> bool:
    """Leave the monthly partitions of ``prediction`` out of autogenerate."""
    return not (type_ == "table" and name is not None and name.startswith("prediction_"))


def is_migration() -> bool:
    """Return whether the command moves the database to a revision; `alembic check` does not."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


def current_revision() -> str | None:
    """Return the revision of the database, or None for an empty one."""
    return context.get_context().get_current_revision()


url = context.config.attributes.get("url") or owner_url(get_settings())
engine = create_engine(url, poolclass=pool.NullPool)
with engine.connect() as connection:
    connection.execute(text("set statement_timeout = '10min'"))
    connection.execute(text("set lock_timeout = '1min'"))
    connection.execute(text("select pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_name=include_name,
        compare_server_default=True,
    )
    with context.begin_transaction():
        if is_migration() and context.get_revision_argument() != current_revision():
            drop_views(connection)
        context.run_migrations()
        if is_migration() and current_revision() == context.get_head_revision():
            replace_views(connection)
    connection.commit()
engine.dispose()
