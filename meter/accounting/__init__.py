"""Accounting: what became of every record, established afterwards and from outside, from topics alone.

`meter audit`, `explain`, `replay` and `dead-letters redrive` are a module each, and judge by plain values: `offsets`,
`letters`, `redrive_rules`, `replay_rules`.
"""
