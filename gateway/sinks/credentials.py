"""Secrets and TLS of a sink: read when it opens (so a rotated file counts at the next connection), never shown."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.config import Sink
from gateway.sinks import SinkDown

MAX_SECRET_BYTES: Final = 65536


def _plain_place(text: str, _key: str) -> Path:
    return Path(text)


def _plain_secret(text: str, _key: str) -> str:
    try:
        return Path(text).read_bytes()[:MAX_SECRET_BYTES].decode("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SinkDown(f"the secret file {text} cannot be read: {reason}", code="CG-SNK-01") from None


@dataclass(frozen=True, slots=True)
class Files:
    """How the text of a `*_file` option becomes a path, and a secret: both get (text, option name).

    The composition root passes the config loader's own (which looks into $CREDENTIALS_DIRECTORY and checks modes).
    """

    place: Callable[[str, str], Path] = _plain_place
    reveal: Callable[[str, str], str] = _plain_secret


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a sink shows at the door. `secret` (password or token) never appears in a repr or a log."""

    username: str | None = None
    secret: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)


def read(config: Sink, files: Files, *, tls: bool) -> Credentials:
    """The credentials that `config` names. Blocking: call it off the event loop.

    Raises:
        SinkDown: a file is missing, unreadable or no certificate (CG-SNK-01).
    """
    secret = None
    if config.token_file is not None:
        secret = files.reveal(config.token_file, "token_file")
    elif config.password_file is not None:
        secret = files.reveal(config.password_file, "password_file")
    return Credentials(username=config.username, secret=secret, tls=_context(config, files) if tls else None)


def _context(config: Sink, files: Files) -> ssl.SSLContext:
    """Verified TLS, 1.2 at least. There is no switch that turns verification off."""
    named = {key: getattr(config, key) for key in ("ca_file", "cert_file", "key_file")}
    paths = {key: files.place(text, key) for key, text in named.items() if text is not None}
    try:
        context = ssl.create_default_context(cafile=paths.get("ca_file"))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if "cert_file" in paths:
            context.load_cert_chain(paths["cert_file"], paths.get("key_file"))
    except (OSError, ValueError) as error:
        names = ", ".join(str(path) for path in paths.values())
        raise SinkDown(f"the TLS files ({names}) cannot be used: {error}", code="CG-SNK-01") from None
    return context
