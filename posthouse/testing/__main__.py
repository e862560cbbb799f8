"""`python -m posthouse.testing --data DIR [--listen URL] [--config FILE]`: a broker with failpoints.

Which ones stands in `POSTHOUSE_FAILPOINTS`, as `failpoints.to_text` writes it.
"""

from __future__ import annotations

import argparse
import os
import sys

from posthouse.config import Config
from posthouse.testing.failpoints import VARIABLE, from_text
from posthouse.testing.faulty_broker import serve_with
from posthouse.transport.errors import PosthouseError


def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m posthouse.testing")
    parser.add_argument("--data", required=True)
    parser.add_argument("--listen")
    parser.add_argument("--http")
    parser.add_argument("--config")
    given = parser.parse_args(arguments)
    try:
        failpoints = from_text(os.environ.get(VARIABLE, "[]"))
        config = Config.load(given.config, data=given.data, listen=given.listen, http=given.http)
        return serve_with(failpoints, config, out=lambda text: print(text, flush=True))
    except PosthouseError as error:
        print(f"error[{error.code}]: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
