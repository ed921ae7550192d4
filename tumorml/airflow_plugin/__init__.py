"""What Airflow loads from the package, and the little that DAG files share."""
