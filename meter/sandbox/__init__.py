"""The billing provider in a box, restated from its own documents; imports nothing from the rest of meter.

In reading order: `calls` and `errors` (what goes in and out), `shapes` and `paging` (how bodies are checked, lists
answered), `authentication`, `knobs` (what nobody knows), `usages` (what a usage event may be), `recording` and `debits`
(what its answer says and what it costs), `counting` (what allowances count), `entries` (customer, product, plan,
purchase, session) in the `catalogue`, `ledger` (credits), `store` (where all of it is kept). Then the routes:
`customers`, `credits`, `products`, `plans`, `purchasing` with `activation`, `purchases` and `periods`, `sessions`,
`checkout` and its `pages`, `limits`, `user_info`, `meter_events`, `merchant`, all listed in `routes`. Last `faults`
and `striking` (failing on purpose), `controls`, `app`, `server`.
"""
