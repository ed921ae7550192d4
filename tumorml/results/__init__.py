"""The results store in Postgres: tables, views, sessions, bulk inserts and migrations."""
