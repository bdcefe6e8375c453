"""`python -m annotation.people people.txt ann`: add people who may sign in, and take them out again."""

import sys

from annotation.people.password_file import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
