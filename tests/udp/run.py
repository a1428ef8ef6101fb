#!/usr/bin/python3
"""Datagrams, where a scenario is not enough: crowds and floods; answers that come too late; sizes; QUIC.

    tests/udp/run.py [crowd|late|sizes|quic|CASE]...

Last line: "N passed, N failed".
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import crowd  # noqa: E402
import late  # noqa: E402
import quic  # noqa: E402
import sizes  # noqa: E402
from tally import Tally  # noqa: E402

PARTS = [crowd, late, sizes, quic]


def main():
    tally = Tally()
    cases = [(part, case) for part in PARTS for case in part.CASES]
    for part, case in cases:
        if sys.argv[1:] and not {part.__name__, case.__name__} & set(sys.argv[1:]):
            continue
        for good, what in case():
            tally.check(good, f"{case.__name__}: {what}")
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
