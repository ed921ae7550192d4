"""The local service: Postgres, Airflow's four processes, and what one sees while they work."""
