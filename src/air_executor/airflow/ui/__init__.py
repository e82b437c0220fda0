"""What of Air-Executor is shown inside Airflow's own pages, and to whom."""
