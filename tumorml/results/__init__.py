"""The Postgres results store: tables, sessions, bulk rows, migrations."""
