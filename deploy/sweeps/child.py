"""``python -m deploy.sweeps.child PARENT ARGUMENTS``: ``airtune`` in a process that dies with PARENT."""

from __future__ import annotations

import sys

from deploy.cli import main
from protocol.processes import die_with_parent

if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
