"""The daemon over HTTP: limits for product services, health and metrics for operators.

`api` finds the handler of a request, `exchange` is what a handler sees, `server` has all of it in the worker's loop.
"""
