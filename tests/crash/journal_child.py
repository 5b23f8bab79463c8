"""Child of the kill test: appends, commits, and prints what was promised, until it is killed."""

import asyncio
import sys
from pathlib import Path

from gateway.journal.log import Limits, open_journal


async def main(folder):
    journal = open_journal(folder, cap_bytes=64 * 65536, limits=Limits(segment_bytes=65536))
    sys.stdout.write(f"open {journal.next}\n")
    while True:
        for _ in range(7):
            journal.append(1, b"payload of %d" % journal.next)
        journal.mark("cursor", b"%d" % journal.next)
        while journal.full and journal.drop_oldest():
            pass
        await journal.commit()
        sys.stdout.write(f"ack {journal.first} {journal.committed}\n")
        sys.stdout.flush()


asyncio.run(main(Path(sys.argv[1])))
