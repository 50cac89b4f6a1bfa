"""When webhooks are sent: the provider's waits between attempts, and its clock that sends only now and then."""

import math

MINUTE, HOUR = 60.0, 3600.0
WAITS_SECONDS = (5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, 24 * HOUR, 48 * HOUR, 72 * HOUR)
"""After the first failed attempt, the second...; the last stands for all further ones."""

MAX_ATTEMPTS = 12
"""An event that has failed so often disables its endpoint."""

BATCH = 20
"""So many events go to an endpoint in one go of the provider's clock."""


def wait_seconds(attempts: int, time_scale: float) -> float | None:
    """How long to wait after the `attempts`th failed attempt; None: there is no further one."""
    if attempts >= MAX_ATTEMPTS:
        return None
    return WAITS_SECONDS[min(attempts, len(WAITS_SECONDS)) - 1] * time_scale


def next_go(due_at: float, last_go: float, lag_seconds: float) -> float:
    """When to send what is due at `due_at`: then, or at the next of the moments that are `lag_seconds` apart."""
    if not lag_seconds:
        return due_at
    # Strictly after the last one: a go that was cut short by its size goes on at the next.
    return max(math.ceil(due_at / lag_seconds), math.floor(last_go / lag_seconds) + 1) * lag_seconds
