"""One conversion, from checked arguments to a published result; it knows no Airflow.

This module may change from release to release.
"""
