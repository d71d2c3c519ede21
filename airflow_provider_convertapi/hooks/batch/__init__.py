"""A batch in Airflow: what is asked, what is found, how each file is converted and remembered."""
