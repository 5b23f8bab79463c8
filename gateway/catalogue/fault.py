"""Fault: one occurrence of a catalogued code; Trouble: the exception that carries faults to the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

EXIT_FOUND: Final = 1
EXIT_USAGE: Final = 2
EXIT_DATA: Final = 65
EXIT_NO_INPUT: Final = 66
EXIT_UNAVAILABLE: Final = 69
EXIT_BUG: Final = 70
EXIT_IO: Final = 74
EXIT_AGAIN: Final = 75
EXIT_PERMISSION: Final = 77
EXIT_CONFIG: Final = 78
EXIT_INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        code: "CG-CFG-01"; a row of codes.toml.
        args: what fills the braces of the catalogue's fact; "@word" stands for a word of its `[word]` table.
        fact: one sentence that replaces the catalogue's (for facts a library or a peer states).
        at: "file:line", or whatever else names the place.
        seen: the evidence, as it was.
        nearest: the valid name that was probably meant.
        do: an act or command that fits this occurrence better than the catalogue's.
        warning: true where the product goes on.
    """

    code: str
    args: Mapping[str, str] = field(default_factory=dict)
    fact: str = ""
    at: str = ""
    seen: str = ""
    nearest: str = ""
    do: str = ""
    warning: bool = False


class Trouble(Exception):
    """Something a person must hear of: one or more faults, and the exit code of the command line (contracts.md)."""

    def __init__(self, faults: Sequence[Fault], *, exit_code: int) -> None:
        super().__init__("; ".join(f"{fault.code} {fault.at} {fault.fact or dict(fault.args)}" for fault in faults))
        self.faults = tuple(faults)
        self.exit_code = exit_code
