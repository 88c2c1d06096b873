"""``python -m deploy`` is ``airtune``: here a Ctrl-C ends quietly already while the rest is imported."""

import sys

try:
    from deploy.cli import main
except KeyboardInterrupt:
    print("airtune: interrupted", file=sys.stderr)
    sys.exit(130)  # INTERRUPTED_EXIT_CODE, whose module may be the one that is not there yet

if __name__ == "__main__":
    sys.exit(main())
