"""Measurements: `throughput` of the whole daemon; `machine`, `decode` and `window`, its most expensive parts."""
