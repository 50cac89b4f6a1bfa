"""What a usage event leaves behind, and where: the topics that together tell what became of it."""

from dataclasses import dataclass

from meter.ownership import owner_of
from meter.pipeline.receipt import Owner
from meter.settings import KafkaSettings, Settings


@dataclass(frozen=True, slots=True)
class Trail:
    """The three topics, and which of the receipts there count."""

    topic: str
    receipts_topic: str
    dead_letter_topic: str
    owner: Owner


def trail_of(settings: Settings) -> Trail:
    """That of this configuration."""
    return trail_in(settings.kafka, owner_of(settings))


def trail_in(kafka: KafkaSettings, owner: Owner) -> Trail:
    """That of this owner in these topics."""
    return Trail(kafka.topic, kafka.receipts_topic, kafka.dead_letter_topic, owner)
