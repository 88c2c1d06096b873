"""``python -m learning.conversion``: convert every model whose package is installed, as set-up does."""

from __future__ import annotations

import sys

from learning.assets import CONVERTED
from learning.conversion import converted_directory
from protocol.errors import AirtuneError


def main() -> int:
    """Convert what is not converted yet; exit code of the first failure."""
    try:
        for name in CONVERTED:
            print(converted_directory(name))
    except AirtuneError as error:
        print(f"airtune: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
