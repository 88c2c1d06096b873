"""``python -m deploy`` is ``airtune``."""

import sys

from deploy.cli import main

sys.exit(main())
