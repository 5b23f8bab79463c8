"""Wavetronix SmartSensor HD (SS125), asked for single vehicles (message 0x67) until its event queue is empty.

Bytes and sources: wavetronix_ss125.py.
"""

from __future__ import annotations

from typing import Final

from drivers.uart.wavetronix_ss125 import EVENTS

FAMILY: Final = EVENTS
