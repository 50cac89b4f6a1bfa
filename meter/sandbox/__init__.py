"""The billing provider in a box, restated from its own documents; imports nothing from the rest of meter.

A call (`rest/`) is handled by one of the `routes`, which lead into `usage/`, `sales/` and `webhooks/`. All of them know
the same things (`bookkeeping/`, all of it in the `catalogue`) and keep them in one `store`, where each call is one
transaction. What nobody knows about the provider is a knob (`knobs`). Beside that there are the `pages/`, a
`description/` of the routes, the same over `mcp/`, and, for tests, `faults/` and `controls`.
"""
