"""May this customer go on? Answered from the provider's last snapshot minus the usage that it has not seen yet."""

from meter.limits.cache import Answer, LimitsCache
from meter.limits.flights import LimitsApi
from meter.limits.question import Question

__all__ = ["Answer", "LimitsApi", "LimitsCache", "Question"]
