"""The decorator that Airflow finds as ``@task.convertapi``.

This module may change from release to release.
"""
