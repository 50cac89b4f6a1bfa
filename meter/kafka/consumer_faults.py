"""What the consumer's failures mean, in meter's errors."""

import asyncio

from aiokafka import errors

from meter.errors import MeterError, Redelivered, Replaced, Stuck, Unavailable
from meter.kafka.connection import unavailable
from meter.kafka.internals import FencedInstanceIdError
from meter.settings import KafkaSettings


def poll_fault(error: errors.KafkaError, kafka: KafkaSettings) -> MeterError:
    """Whether polling again can help (`Unavailable`), or only an end (`Replaced`, `Stuck`)."""
    if FencedInstanceIdError.__name__ in str(error):  # aiokafka puts it into words
        return Replaced(
            f"another process has joined group {kafka.group_id} as {kafka.group_instance_id}: "
            "kafka.group_instance_id must be a name that no other replica has"
        )
    passing = unavailable(error, "read events")
    forbidden = isinstance(error, (errors.TopicAuthorizationFailedError, errors.GroupAuthorizationFailedError))
    if error.retriable or forbidden or isinstance(error, errors.CorruptRecordException):
        return passing
    return Stuck(str(passing))


def judge_commit(request: asyncio.Future[None], *, late: bool, withdrawn: bool, limit_seconds: float) -> None:
    """Raises unless the commit was accepted by a group that we are still a member of."""
    if withdrawn:
        if not late and not request.cancelled():
            request.exception()  # looked at: whatever it says, it is not our commit any more
        raise Redelivered("the group rebalanced during the commit: the events will be delivered again")
    if late:
        raise Unavailable(f"cannot commit: Kafka gave no answer within {limit_seconds:g} s, the outcome is unknown")
    try:
        request.result()
    except (errors.CommitFailedError, errors.IllegalStateError) as error:
        raise Redelivered(f"the commit came too late: {error}") from error
    except (errors.KafkaError, OSError) as error:
        raise unavailable(error, "commit") from error
