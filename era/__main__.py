"""Start the command line: `python -m era --help`."""

import sys

from era.command_line.program import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
