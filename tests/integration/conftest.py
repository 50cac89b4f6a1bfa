"""The types of the run's fixtures under the name that these tests import them by."""

from tests.brokers import Broker, MakeBroker, MakeTopic, SecuredBroker, create_topic

__all__ = ["Broker", "MakeBroker", "MakeTopic", "SecuredBroker", "create_topic"]
