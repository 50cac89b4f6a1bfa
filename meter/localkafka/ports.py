"""Which ports a broker on this machine gets: the one that was asked for, if nobody has it, or any free one."""

import errno
import random
import socket
from pathlib import Path

from meter.errors import CommandFailed, UserMistake

HOST = "127.0.0.1"

USUAL_PORTS = range(20_000, 30_000)
_REGISTERED_FROM, _LAST_PORT = 1_024, 65_535
_OUTGOING_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(outgoing: str) -> range:
    """The ports to choose from; `outgoing` has the first and the last port that the system gives to outgoing
    connections, as Linux tells them, and is empty where it is not known.

    None of those: a client that calls a dead broker again and again could be given that very port, connect to itself,
    and keep the broker from coming back. If hardly any other is left, the usual ones all the same.
    """
    first, last = map(int, outgoing.split() or (_LAST_PORT, _LAST_PORT))
    if last < USUAL_PORTS.start or first >= USUAL_PORTS.stop:
        return USUAL_PORTS
    others = max(range(_REGISTERED_FROM, first), range(last + 1, _LAST_PORT + 1), key=len)
    return others if len(others) >= 1_000 else USUAL_PORTS


def _outgoing_range() -> str:
    try:
        return _OUTGOING_RANGE.read_text()
    except OSError:
        return ""


FREE_PORTS = free_ports(_outgoing_range())


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
