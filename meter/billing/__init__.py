"""The billing provider: how a batch and a limits question travel to it, and what its answers mean.

`calling` asks in the words of `rest` or `mcp`, `sending` and `wire` make sure that nothing leaves late, `answers` reads
what came back.
"""
