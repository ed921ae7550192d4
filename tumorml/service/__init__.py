"""Running the service: on one machine, in a cluster, and the configuration of Airflow."""
