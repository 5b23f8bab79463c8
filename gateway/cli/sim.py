"""`citygate sim`: one simulated device by hand, with faults; prints the port to use."""

from __future__ import annotations

import os
import sys

import click


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(*, arguments: tuple[str, ...]) -> int:
    """One simulated device: `citygate sim eastron-sdm630 --port-link /tmp/meter --fault silence`.

    All options are those of `python -m firmware_sims device`; `citygate sim --help` lists them.
    """
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "firmware_sims", "device", *arguments])  # noqa: S606 - our own module
