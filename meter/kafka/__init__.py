"""The edge to Kafka: aiokafka behind small Protocols, its errors translated, every wait bounded.

connection.py     client options from the settings; what a failure means, a wrong password told from no broker
internals.py      what aiokafka keeps private and we need, in one place
topics.py         the topics meter needs: made, grown, and checked for how long they keep
consumer.py       KafkaSource: records in, commits out, membership of the group
unreadable.py     records that aiokafka cannot parse
writer.py         one idempotent producer, replaced when it has become unusable
receipts.py       KafkaReceipts: what was accepted, written and read back
dead_letters.py   KafkaDeadLetters: what can never be billed, cut when it does not fit
"""
