"""`citygate sim`: a simulated device, city or broker by hand, with faults; prints the port to use."""

from __future__ import annotations

import os
import sys
from typing import Final

import click

_WHOLES: Final = ("city", "broker", "score")


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(*, arguments: tuple[str, ...]) -> int:
    """One simulated device: `citygate sim eastron-sdm630 --port-link /tmp/meter --fault silence`.

    Any profile's name, `self-identifying`, or the whole `city`, a `broker`, a gateway's `score`. All options are
    those of `python -m firmware_sims`; `citygate sim --help` lists a device's, `citygate sim city --help` the city's.
    """
    verb = () if arguments[:1] and arguments[0] in _WHOLES else ("device",)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "firmware_sims", *verb, *arguments])  # noqa: S606 - our own module
