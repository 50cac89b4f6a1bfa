"""Apache Kafka itself on this machine: one node for `meter kafka`, the demo, the bench and the tests.

Reading order: `broker` (the process and its life), `properties` (how the node is set up), `jars` and `download` (where
the program comes from), `keeper` (why it never outlives us), `probe` (when it is ready), `ports`.
"""

from meter.localkafka.broker import LocalKafka
from meter.localkafka.properties import Login

__all__ = ["LocalKafka", "Login"]
