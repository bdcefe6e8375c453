"""Start the command line: `python -m era --help`."""

from era.cli.program import start

if __name__ == "__main__":
    start()
