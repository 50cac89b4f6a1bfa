"""meter: usage events from Kafka, each billed exactly once or visibly parked."""

__version__ = "0.1.0"
