"""Code in a Python of its own: for what is settled when a process starts."""

import os
import subprocess
import sys

from tests import ROOT


def printed(code: str, **environment: str) -> str:
    """What the code prints, from the repository's root, in this environment with changes."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
