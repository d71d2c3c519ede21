"""Operators: what a DAG declares."""
