"""Apache Airflow provider for ConvertAPI."""

__version__ = "0.1.0"
