"""Hooks: the connection in, authenticated calls out.

This module may change from release to release.
"""
