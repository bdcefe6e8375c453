"""Start the command line: `python -m era --help`."""

import sys

from era.cli.program import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
