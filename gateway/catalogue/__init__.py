"""The catalogue of faults: every code with its fact, likely causes and remedy, in English and Thai (codes.toml).

A `Fault` is one occurrence of a code, as plain data: the terminal, JSON, the page and events show the same object.
Imports nothing of ours; the texts are read from disk only when a fault is shown.
"""

from __future__ import annotations

from gateway.catalogue.fault import Fault, Trouble
from gateway.catalogue.table import Entry, codes, entry, figure_names, worded

__all__ = ["Entry", "Fault", "Trouble", "codes", "entry", "figure_names", "worded"]
