"""Triggers: what waits in the triggerer.

This module may change from release to release.
"""
