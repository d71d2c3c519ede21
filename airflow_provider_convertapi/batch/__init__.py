"""Many conversions in one task: the plan, the run and the manifest.

This module may change from release to release.
"""
