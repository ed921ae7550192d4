"""The Airflow plugin, and the trigger, retries and approvals that the DAG files share."""
