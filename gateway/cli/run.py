"""`citygate run`: the daemon."""

from __future__ import annotations

import click

from gateway.cli.face import Face


@click.command("run")
@click.option("--once", is_flag=True, help="Read every device once, deliver, and stop.")
@click.option("--dry-run", is_flag=True, help="Publish nothing.")
@click.pass_obj
def command(face: Face, *, once: bool, dry_run: bool) -> int:
    """Run the gateway in the foreground until SIGTERM or Ctrl-C. Exit 78 when the config is faulty."""
    import logging

    from gateway.config.load import load
    from gateway.daemon import run

    level = logging.DEBUG if face.verbosity else logging.INFO
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    loaded = load(face.config)
    face.faults(loaded.warnings)
    return run(loaded, once=once, dry_run=dry_run)
