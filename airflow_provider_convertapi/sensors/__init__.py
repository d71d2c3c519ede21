"""Sensors: what waits for ConvertAPI.

This module may change from release to release.
"""
