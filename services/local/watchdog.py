"""Ends what a demo or a test run started when that run itself is killed and can no longer do it.

Reads one process a line from standard input, which only the run holds open: when the run ends, however it ends, the
pipe closes, and whatever is then still alive is killed. (Linux could do this through PR_SET_PDEATHSIG, but that
follows the thread that started the process, needs code between fork and exec, and exists nowhere else.)
"""

import sys

from services.local.identity import ProcessIdentity, kill_group


def main() -> None:
    """Gather until the pipe closes, then kill what is left."""
    watched = []
    for line in sys.stdin:
        pid, _, started = line.strip().partition(" ")
        watched.append(ProcessIdentity(int(pid), started))
    for identity in reversed(watched):
        kill_group(identity)


if __name__ == "__main__":
    main()
