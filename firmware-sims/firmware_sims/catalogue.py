"""What goes wrong in the field, and with what it is switched on: the rows of two catalogues and our names for them.

`QUIRKS` are the numbers of the device fact sheet's quirk catalogue, `FAULTS` the rows W (wire, bus, port) and D
(devices and values) of the fault model. A name is one of `faults.NAMES`, `quirks.NAMES`, `plugs.ACTS`, an order of a
scenario (`control`), or a device whose nature it is.
"""

from __future__ import annotations

from typing import Final

QUIRKS: Final[dict[int, tuple[str, ...]]] = {
    1: ("tail", "half"),
    2: ("false_head", "noise_before", "noise_between", "noise_after", "idle"),
    3: ("extra_byte", "half"),
    4: ("bad_checksum",),
    5: ("zero", "restart", "wild", "invalid"),
    6: ("drowsy", "silence"),
    7: ("garbage", "silence", "honeywell-hpma115c0"),
    8: ("stuffed", "no_new_data", "not_measuring"),
    9: ("echo",),
    10: ("dribble", "chunks", "duplicate"),
    11: ("bad_checksum", "late", "wrong_transaction"),
    12: ("short_reads", "zero_holes", "refused_holes", "absent", "invalid", "scale_absent"),
    13: ("shifted", "swapped"),
    14: ("scale_change", "racing"),
    15: ("restart", "rollover"),
    16: ("bcc_control", "crc_short", "no_crc", "noise_after"),
    17: ("odd_values",),
    18: ("dst", "clock_wrong"),
    19: ("negative_speed", "no_speed", "occupancy_error"),
    20: ("missing",),
    21: ("banner", "chatty", "quoted"),
    22: ("unplug", "replug", "swap", "cut", "mute"),
    23: ("foreign",),
    24: ("asleep", "late"),
    25: ("generic-vehicle-counter-reset", "self-identifying"),
}
FAULTS: Final[dict[str, tuple[str, ...]]] = {
    "W1": ("late",),
    "W2": ("late", "self-identifying"),
    "W3": ("noise_before", "noise_between", "noise_after", "echo", "babble"),
    "W4": ("bad_checksum", "burst"),
    "W5": ("scrambled",),
    "W6": ("dribble", "chunks"),
    "W7": ("wrong_unit", "wrong_function", "wrong_count", "exception"),
    "W8": ("occupy",),
    "W9": ("unplug",),
    "W10": ("replug", "swap"),
    "W11": ("dangle",),
    "W12": ("babble",),
    "W13": ("silence",),
    "W14": ("wrong_transaction", "wrong_unit", "length_lie", "dribble", "duplicate", "cut", "mute"),
    "W15": ("self-identifying",),
    "D1": ("swapped", "shifted"),
    "D2": ("absent", "invalid"),
    "D3": ("rollover", "restart"),
    "D4": ("stuck", "jump", "zero", "wild"),
    "D5": ("clock_wrong", "device_clock", "buffered"),
    "D6": ("racing",),
    "D7": ("silence", "unplug"),
    "D8": ("tenfold",),
    "D9": ("hostile",),
}
