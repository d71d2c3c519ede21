"""The live check: which reading of ConvertAPI's contract is true at the service of a connection.

This module may change from release to release.
"""
