"""The local service: Postgres, Airflow, API and UI as processes of one machine."""
