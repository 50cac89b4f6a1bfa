"""Accounting: what became of every record, found out afterwards and from outside, from topics alone.

letters.py     dead letters by origin: what they say, which are open
offsets.py     the ends of the offsets of one partition
usage.py       what was accepted, per customer and product, against the provider's rows
provider.py    a provider that can be asked for its rows
reading.py     whole topics, with the progress told
report.py      the findings of an audit, as words and as JSON
audit.py       every record below the commit has one end: `meter audit`
trace.py       what became of one event, as it is told
explaining.py  finds every trace of it: `meter explain`
redrive.py     which dead letters go back to the source topic, and as what
redriving.py   reads, judges, sends and notes them: `meter dead-letters redrive`
"""
