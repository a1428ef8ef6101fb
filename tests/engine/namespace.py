"""Namespaces of a suite's own: its program starts anew in them. Where none can be made, it is skipped."""
import os
import subprocess
import sys

INSIDE = "SPC_NAMESPACES"


def enter(*options):
    """Go on only inside of what unshare(1) makes of these."""
    if INSIDE in os.environ:
        return
    if subprocess.run(["unshare", *options, "true"], capture_output=True, check=False).returncode != 0:
        print("no namespaces can be made here\n0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", *options, sys.executable, *sys.argv])
