"""Fixtures that every part of the suite may ask for."""

import signal

from parts import certificates, influx1, mosquitto, victoria

from firmware_sims.pytest_plugin import (
    cg_bench,
    cg_broker,
    cg_bus,
    cg_clock,
    cg_daemon,
    cg_database,
    cg_device,
    cg_faults,
)

__all__ = [
    "certificates",
    "cg_bench",
    "cg_broker",
    "cg_bus",
    "cg_clock",
    "cg_daemon",
    "cg_database",
    "cg_device",
    "cg_faults",
    "influx1",
    "mosquitto",
    "victoria",
]


def pytest_configure():
    """A suite that a shell started in the background inherits "ignore Ctrl-C", and so would the programs under test."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
