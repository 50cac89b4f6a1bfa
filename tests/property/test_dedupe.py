"""The window of accepted ids against a plain dictionary."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from meter.pipeline.dedupe import Window

KEYS = st.lists(st.sampled_from([f"key-{n}" for n in range(60)]), max_size=30)


class WindowMachine(RuleBasedStateMachine):
    """Whatever is remembered, in whatever chunks: a repeat round the ring, wiped tables, ids that come back."""

    @initialize(max_ids=st.integers(1, 40))
    def start(self, max_ids: int) -> None:
        self.max_ids = max_ids
        self.window = Window(max_ids, window_seconds=1024)
        self.model: dict[str, tuple[int, int]] = {}  # key -> digest, when; oldest first
        self.wall_seconds = 0
        self.digest = 0

    @rule(keys=KEYS, pause_seconds=st.integers(0, 600))
    def remember(self, keys: list[str], pause_seconds: int) -> None:
        self.wall_seconds += pause_seconds
        digests = [self.digest + index for index in range(len(keys))]
        self.digest += len(keys)
        self.window.remember(keys, digests, self.wall_seconds)
        # What is known is left alone; what is new pushes out the oldest afterwards.
        for key, digest in zip(keys, digests, strict=True):
            self.model.setdefault(key, (digest, self.wall_seconds))
        self.model = dict(list(self.model.items())[-self.max_ids :])

    @rule(pause_seconds=st.integers(0, 2000))
    def expire(self, pause_seconds: int) -> None:
        self.wall_seconds += pause_seconds
        self.window.expire(self.wall_seconds)
        # A mark covers one second here: ids go when they are a second older than the window.
        limit = self.wall_seconds - 1025
        self.model = {key: (digest, when) for key, (digest, when) in self.model.items() if when >= limit}

    @invariant()
    def the_window_answers_as_the_dictionary(self) -> None:
        """Same ids, same digests, same number."""
        if not hasattr(self, "model"):
            return
        keys = [f"key-{n}" for n in range(60)]
        expected = {index: self.model[key][0] for index, key in enumerate(keys) if key in self.model}
        assert self.window.lookup(keys) == expected
        assert len(self.window) == len(self.model)


WindowMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=30)
TestWindow = WindowMachine.TestCase
