"""The next command of a technician, in the form of this call: `sudo -u citygate citygate ...`, `--config PATH`."""

from __future__ import annotations

import os
import pwd
import shlex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.cli.face import Face

NAME: Final = "citygate"
RESTART: Final = "systemctl restart citygate"


def again(face: Face, words: str) -> str:
    """`citygate` with these words, by the same user and with the same config."""
    config = "" if face.config is None else f" --config {shlex.quote(str(face.config))}"
    return f"{_through_sudo()}{NAME} {words}{config}"


def restart() -> str:
    """The command that starts the service anew; only root may give it."""
    return f"sudo {RESTART}" if _through_sudo() else RESTART


def _through_sudo() -> str:
    """`sudo -u USER `, where sudo ran this very command; "" else, and in a shell that sudo opened."""
    ran = os.environ.get("SUDO_COMMAND", "").split(" ")[0].rpartition("/")[2]
    if ran != NAME:
        return ""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""
    return "sudo " if user == "root" else f"sudo -u {user} "
