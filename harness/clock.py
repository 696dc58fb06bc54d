"""Points in time as all files here write them: UTC, ISO 8601, whole seconds, so that texts sort as times do."""

from __future__ import annotations

import time


def utc_now() -> str:
    """2026-01-31T23:59:59Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
