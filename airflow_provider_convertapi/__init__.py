"""Apache Airflow provider for ConvertAPI."""

from __future__ import annotations

__version__ = "0.1.0"
