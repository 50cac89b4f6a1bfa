"""Which ports a broker on this machine gets: the one that was asked for, if nobody has it, or any free one."""

import errno
import random
import socket

from meter.errors import CommandFailed, UserMistake

HOST = "127.0.0.1"

# Below the range from which the system takes the ports of outgoing connections (32768 up on Linux, 49152 elsewhere): a
# client that calls a dead broker again and again could otherwise be given that very port, connect to itself, and keep
# the broker from coming back.
FREE_PORTS = range(20_000, 30_000)


def require_free(port: int, option: str) -> None:
    """Raise `UserMistake`, which names `option`, when nothing can listen on `port`."""
    refusal = _refusal(port)
    if refusal is None:
        return
    if refusal == errno.EADDRINUSE:
        raise UserMistake(f"port {port} is in use on {HOST}: stop what listens there or choose another with {option}")
    raise UserMistake(
        f"port {port} cannot be used on {HOST} ({errno.errorcode[refusal]}): choose another with {option}"
    )


def any_free(taken: frozenset[int] = frozenset()) -> int:
    """A port that nothing uses now, none of `taken`; chosen at random, so that two who ask at once rarely meet."""
    for port in random.sample(FREE_PORTS, len(FREE_PORTS)):
        if port not in taken and _refusal(port) is None:
            return port
    raise CommandFailed(f"no free port between {FREE_PORTS.start} and {FREE_PORTS.stop - 1} on {HOST}")


def _refusal(port: int) -> int | None:
    """The error number with which the system refuses to listen on `port`, None when it does not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Kafka does: closed connections do not count
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as refused:
            return refused.errno or errno.EINVAL
    return None
