"""The engines of the sandbox: the conversions that it can make, and their limits.

Cheap to import: each engine, with its library, is loaded by the worker that needs it.
"""

from __future__ import annotations

from convertapi_sandbox.engines.pairs import MISSING, PAIRS, unsupported_parameters

__all__ = ["MISSING", "PAIRS", "unsupported_parameters"]
