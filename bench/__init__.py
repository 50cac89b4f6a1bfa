"""Measurements: `throughput` of the whole daemon; `decode` and `window`, its two most expensive parts."""
