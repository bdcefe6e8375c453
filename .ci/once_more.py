"""Run the browser tests that failed once more, each alone, so that an accident of timing does not hide a good change.

Any other failure stays one, and so do many at once. What passes now is named: a test that needs this is a defect.
"""

import subprocess
import sys
import xml.etree.ElementTree as ET

RESULT, AGAIN = ".pytest-result.xml", ".pytest-again.xml"
AT_MOST = 4


def main() -> int:
    """Return the exit code of the second try."""
    cases = list(ET.parse(RESULT).iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    places = [str(case.get("classname")) for case in failed]
    if not failed or len(failed) > AT_MOST or not all(place.startswith("tests.ui.") for place in places):
        return 1
    names = [f"{place.replace('.', '/')}.py::{case.get('name')}" for place, case in zip(places, failed, strict=True)]
    tried = subprocess.run([sys.executable, "-m", "pytest", "-n", "0", f"--junitxml={AGAIN}", *names])
    if tried.returncode == 0:
        print("flaky, mend the cause:", *names, sep="\n  ")
    return tried.returncode


if __name__ == "__main__":
    sys.exit(main())
