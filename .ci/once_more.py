"""Run the browser tests that failed once more, each alone, so that an accident of timing does not hide a good change.

Any other failure stays one, and so do many at once. What passes now is reported as flaky with the traces of its first
try: a test that needs this is a defect.
"""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

RESULT, AGAIN, TRACES = ".pytest-result.xml", ".pytest-again.xml", Path(".pytest-traces")
AT_MOST = 4


def main() -> int:
    """Return the exit code of the second try."""
    cases = list(ET.parse(RESULT).iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    places = [str(case.get("classname")) for case in failed]
    if not failed or len(failed) > AT_MOST or not all(place.startswith("tests.ui.") for place in places):
        return 1
    names = [f"{place.replace('.', '/')}.py::{case.get('name')}" for place, case in zip(places, failed, strict=True)]
    traces = {name: traces_of(name) for name in names}
    code = 0
    for name in names:
        tried = subprocess.run([sys.executable, "-m", "pytest", "-n", "0", f"--junitxml={AGAIN}", name])
        code = code or tried.returncode
        if tried.returncode == 0:
            looked_at = (f"playwright show-trace {each}" for each in traces[name])
            print(f"flaky, mend the cause: {name}", *looked_at, sep="\n  ")
    return code


def traces_of(name: str) -> list[Path]:
    """Return the traces of a test, as `tests/ui/conftest.py` names them, put away from those of the second try."""
    start = re.sub(r"\W+", "-", name.removeprefix("tests/ui/")).strip("-")
    found = [each for each in sorted(TRACES.glob("*.zip")) if re.fullmatch(rf"{re.escape(start)}-\d+", each.stem)]
    return [each.rename(each.with_suffix(".first.zip")) for each in found]


if __name__ == "__main__":
    sys.exit(main())
