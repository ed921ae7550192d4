"""Configuration of Airflow and a client of its REST API."""
