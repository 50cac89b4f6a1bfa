"""Accounting: what became of every record, found out afterwards and from outside, from topics alone.

offsets.py     the ends of the offsets of one partition
usage.py       what was accepted, per customer and product, against the provider's rows
audit.py       both over all topics: `meter audit`
report.py      its findings, as words and as JSON
provider.py    a provider that can be asked for its rows
"""
