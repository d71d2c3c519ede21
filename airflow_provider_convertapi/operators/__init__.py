"""Operators: what a DAG declares.

This module may change from release to release.
"""
