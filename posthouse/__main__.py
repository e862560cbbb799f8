"""`python -m posthouse`: the command line."""

import sys

from posthouse.cli import main

sys.exit(main())
