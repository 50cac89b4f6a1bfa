"""How far one request has got on its way out, and whether it may go on."""

from collections.abc import Callable


class Sending:
    """Permission for one request, asked again before every write, and a witness of what has left.

    `complete` is whether the last byte may have left this process. It starts as True, the careful answer for
    connections that do not tell; those that do set it to False first.
    """

    __slots__ = ("_may_send", "complete", "forbidden")

    def __init__(self, may_send: Callable[[], bool]) -> None:
        self._may_send = may_send
        self.complete = True
        self.forbidden = False

    def allowed(self) -> bool:
        """Ask for permission; the answer holds for this very moment only."""
        self.forbidden = not self._may_send()
        return not self.forbidden
