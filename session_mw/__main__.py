"""``python -m session_mw``."""

import sys

from session_mw.cli import main

if __name__ == "__main__":
    sys.exit(main())
