"""The real time: the one place that asks the system for it."""

from __future__ import annotations

import time

from airflow_provider_convertapi.api.clock import Clock

SYSTEM_CLOCK = Clock(time.time, time.monotonic, time.sleep)
