#!/usr/bin/python3
"""Configurations of strangers through spcc; see ../shared/corpus/README.md for where they come from.

    tests/corpus/run.py [-v]

accept/   nginx takes these: spcc check must find no error in them
reject/   nginx refuses these: spcc check must find the errors of refused.tsv, in these places and no others. Files that
          ask for nginx Plus or for another module (class M) are refused for those words alone, or for none.

With -v prints all that spcc says, for people to read. A checkout without the corpus skips it.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CORPUS = os.path.join(os.path.dirname(ROOT), "shared", "corpus")
SPCC = os.environ.get("SPCC") or os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"), "spcc")
ERROR = re.compile(r"^(?:.*?:(?P<place>\d+:\d+)|spcc): error: .* \[(?P<code>SP\d+) [a-z-]+\]$", re.MULTILINE)


def check(path, include):
    """Exit status, what was said, and the errors as "LINE:COLUMN CODE"."""
    done = subprocess.run(
        [SPCC, "check", "-I", include, path], capture_output=True, encoding="utf-8", errors="backslashreplace",
        env={**os.environ, "NO_COLOR": "1"}, timeout=60, check=False,
    )
    return done.returncode, done.stderr, [f"{m['place']} {m['code']}" for m in ERROR.finditer(done.stderr)]


def differs(path, include):
    return subprocess.run([SPCC, "diff", "-I", include, path, path], capture_output=True, timeout=60, check=False).returncode


def neutral_includes(folder):
    """What the corpus's neutral include paths name: an empty file."""
    os.makedirs(folder + "/run")
    for name in ("run/empty.conf", "mime.types"):
        with open(f"{folder}/{name}", "w", encoding="utf-8"):
            pass


def expectations():
    """The errors of each file of reject/, by its number."""
    expected = {}
    with open(HERE + "/refused.tsv", encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                number, _, errors = line.rstrip("\n").split("\t")
                expected[number] = [error for error in errors.split(", ") if error]
    return expected


def judge(path, include, expected, verbose):
    """True if spcc said what it should."""
    status, text, errors = check(path, include)
    good = errors == expected and status == (1 if expected else 0)
    if not expected and good and differs(path, include):
        good, text = False, "spcc diff finds it different from itself"
    if verbose or not good:
        name = os.path.relpath(path, CORPUS)
        print(f"{'' if good else 'WRONG '}{name}: exit {status}, expected {', '.join(expected) or 'no error'}\n{text}")
    return good


def main():
    verbose = "-v" in sys.argv[1:]
    accept, reject = (sorted(glob.glob(f"{CORPUS}/{name}/*.conf")) for name in ("accept", "reject"))
    if not accept:
        print("there is no ../shared/corpus\n0 passed, 0 failed, 1 skipped")
        return 0
    expected = expectations()
    with tempfile.TemporaryDirectory(prefix="spc-") as include:
        neutral_includes(include)
        results = [judge(path, include, [], verbose) for path in accept]
        results += [judge(path, include, expected[os.path.basename(path)[:3]], verbose) for path in reject]
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
