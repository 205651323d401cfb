"""Records what a command syncs, renames and removes, in order: python synced.py LOG COMMAND...

One line of JSON per event: ["sync", path], ["rename", from, to], ["remove", path]. The path of a sync is that of the file
behind the descriptor, so it does not matter how the file was opened.
"""

import json
import os
import sys

from minitron import cli

if __name__ == "__main__":
    log = open(sys.argv[1], "w")  # noqa: SIM115 (as long as the process)
    real_sync = os.fsync

    def note(*event: str) -> None:
        log.write(json.dumps(event) + "\n")
        log.flush()

    def fsync(descriptor: int) -> None:
        real_sync(descriptor)
        note("sync", os.readlink(f"/proc/self/fd/{descriptor}"))

    def audit(event: str, arguments: tuple) -> None:
        if event == "os.rename":
            note("rename", *(os.path.abspath(os.fsdecode(path)) for path in arguments[:2]))
        elif event == "shutil.rmtree":
            note("remove", os.path.abspath(os.fsdecode(arguments[0])))

    os.fsync = fsync
    sys.addaudithook(audit)
    cli.main(sys.argv[2:])
