"""Alembic's entry: online migrations of the results store, one migrator at a time."""

from alembic import context
from sqlalchemy import create_engine, pool, text

from tumorml.results.session import owner_url
from tumorml.results.tables import Base
from tumorml.settings import get_settings

MIGRATION_LOCK = 7_205_759_403_792_794
"""Key of the advisory lock; any constant that nothing else uses."""


def include_name(name: str | None, type_: str, _parents: object) -> bool:
    """Leave the monthly partitions of ``prediction`` out of autogenerate."""
    return not (type_ == "table" and name is not None and name.startswith("prediction_"))


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
        context.run_migrations()
    connection.commit()
engine.dispose()
