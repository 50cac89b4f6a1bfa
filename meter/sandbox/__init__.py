"""The billing provider in a box, restated from its own documents; imports nothing from the rest of meter.

In reading order: `calls` and `errors` (what goes in and out), `shapes` (how bodies are checked), `authentication`,
`usages` (what a usage event may be), `recording` (what its answer says), `limits`, `catalogue` with `customers` and
`products`, `store` (where all of it is kept), `faults` and `striking` (failing on purpose), `controls`, `app`,
`server`.
"""
