"""Waiting for something to become true, by a deadline instead of a guess."""

import time


def wait_until(probe, what, within=10.0, every=0.05):
    """Calls `probe` until it returns something true, and returns that; fails after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {what}")
        time.sleep(every)
