"""ConvertAPI without Airflow: requests and answers as values, and two clients that send them.

This module may change from release to release.
"""
