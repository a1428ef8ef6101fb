#!/usr/bin/python3
"""Datagrams, where a scenario is not enough: crowds and floods.

    tests/udp/run.py [CASE]...

Last line: "N passed, N failed".
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import crowd  # noqa: E402

CASES = crowd.CASES


def main():
    passed = failed = 0
    for case in CASES:
        if sys.argv[1:] and case.__name__ not in sys.argv[1:]:
            continue
        for good, what in case():
            passed += bool(good)
            failed += not good
            if not good:
                print(f"FAILED {case.__name__}: {what}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
