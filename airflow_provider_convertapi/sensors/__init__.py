"""Sensors: what waits for ConvertAPI."""
