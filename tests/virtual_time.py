"""An event loop on virtual time: its clock stands still while anything is ready and jumps to the next timer otherwise.

Hours of bus time pass in seconds. Only for tests without real sockets: a file descriptor that nobody will ever write to
would make the clock run ahead of it.

    def test_day():
        virtual_time.run(scenario())
"""

import asyncio
import selectors

DEADLOCK = "nothing is ready and no timer is set: the test would wait for ever"


class _Jump(selectors.DefaultSelector):
    loop = None

    def select(self, timeout=None):
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError(DEADLOCK)
        self.loop.jump()
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` starts at `start_s` and moves only from timer to timer."""

    def __init__(self, start_s=1000.0):
        selector = _Jump()
        super().__init__(selector)
        selector.loop = self
        self._now_s = start_s
        self._clock_resolution = 1e-9

    def time(self):
        return self._now_s

    def jump(self):
        """To the earliest timer."""
        self._now_s = max(self._now_s, self._scheduled[0].when())


def run(coroutine, *, start_s=1000.0):
    """`asyncio.run` on virtual time."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start_s)) as runner:
        return runner.run(coroutine)
