"""Failing on purpose: which faults are on, and what they do to a request and its connection."""
