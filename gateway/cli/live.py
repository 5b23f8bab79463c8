"""`citygate live`: the live page, of this gateway or of a whole city from its broker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.face import Face

if TYPE_CHECKING:
    from gateway.web.serve import Listen
    from gateway.web.source import Source


@click.command("live")
@click.option("--broker", metavar="URL", help="Show the whole city from this broker: mqtts://USER@HOST[:PORT].")
@click.option("--prefix", default="citygate", show_default=True, help="First level of the city's topics.")
@click.option("--broker-password-file", type=click.Path(path_type=Path), help="Password of USER, 0600.")
@click.option("--broker-ca", type=click.Path(path_type=Path), help="CA that signed the broker's certificate.")
@click.option("--bind", default="127.0.0.1:8080", show_default=True, metavar="ADDRESS:PORT", help="Where to listen.")
@click.option("--host", "hosts", multiple=True, help="A further host name that the page is called by.")
@click.option("--certificate", type=click.Path(path_type=Path), help="TLS certificate chain, PEM.")
@click.option("--key", type=click.Path(path_type=Path), help="Its private key, PEM.")
@click.option("--password-file", type=click.Path(path_type=Path), help="One line user:password, 0600.")
@click.pass_obj
def command(
    face: Face,
    *,
    broker: str | None,
    prefix: str,
    broker_password_file: Path | None,
    broker_ca: Path | None,
    bind: str,
    hosts: tuple[str, ...],
    certificate: Path | None,
    key: Path | None,
    password_file: Path | None,
) -> int:
    """Serve the live page until Ctrl-C or SIGTERM. Read-only.

    Beyond loopback it needs a certificate and a password file, or it does not start (exit 78).
    """
    import asyncio

    try:
        from gateway.web.serve import serve
    except ImportError as error:
        return _refuse(face, "CG-WEB-02", str(error), exit_code=69)
    try:
        listen = _listen(bind, hosts, certificate=certificate, key=key, password_file=password_file)
    except (ValueError, OSError) as error:
        return _refuse(face, "CG-WEB-01", str(error), exit_code=78)
    faults = listen.faults()
    if faults:
        return _refuse(face, "CG-WEB-01", f"{listen.address} needs " + " and ".join(faults), exit_code=78)
    source = _source(face, broker, prefix=prefix, password_file=broker_password_file, ca_file=broker_ca)
    shown = f"[{listen.address}]" if ":" in listen.address else listen.address
    face.talk(f"{'https' if listen.certificate else 'http'}://{shown}:{listen.port}")
    try:
        asyncio.run(serve(source, listen))
    except SystemExit:  # uvicorn ends so where the address is taken
        return _refuse(face, "CG-WEB-03", bind, exit_code=69)
    except KeyboardInterrupt:
        pass
    return 0


def _refuse(face: Face, code: str, seen: str, *, exit_code: int) -> int:
    from gateway.catalogue import Fault

    face.faults([Fault(code, seen=seen)])
    return exit_code


def _listen(
    bind: str, hosts: tuple[str, ...], *, certificate: Path | None, key: Path | None, password_file: Path | None
) -> Listen:
    from gateway.web.serve import Listen, secret_of

    address, colon, port = bind.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"--bind {bind!r} is not ADDRESS:PORT")
    secret = b"" if password_file is None else secret_of(password_file)
    return Listen(address.strip("[]"), int(port), hosts, certificate, key, secret)


def _source(face: Face, broker: str | None, *, prefix: str, password_file: Path | None, ca_file: Path | None) -> Source:
    from gateway.clock import SystemClock

    clock = SystemClock("system")
    if broker is None:
        from gateway.cli.socket import path
        from gateway.web.local_source import LocalSource

        return LocalSource(path(face), clock=clock)
    from gateway.web.broker_source import BrokerSource, Door

    return BrokerSource(Door.of(broker, password_file=password_file, ca_file=ca_file), prefix=prefix, clock=clock)
