"""Windows: statistics of each series on clock-aligned windows, numpy over columns (time x points).

Import `Windows` from here. Importing it loads numpy; nothing else in the gateway's core needs it.
"""

from gateway.window.windows import Windows

__all__ = ["Windows"]
