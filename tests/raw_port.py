"""A serial port without the drivers, for tests of what stands at its other end."""

import os
import termios
import tty
from contextlib import contextmanager


@contextmanager
def port(path, speed=termios.B9600):
    """A serial port opened raw at `speed`, as a stranger to our drivers would: its file descriptor."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        tty.setraw(fd)
        settings = termios.tcgetattr(fd)
        settings[4] = settings[5] = speed
        termios.tcsetattr(fd, termios.TCSANOW, settings)
        yield fd
    finally:
        os.close(fd)
