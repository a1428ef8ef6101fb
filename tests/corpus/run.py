#!/usr/bin/python3
"""Configurations of strangers through spcc; see ../shared/corpus/README.md for where they come from.

    tests/corpus/run.py [-v]

accept/   nginx takes these: each must compile, or be refused only for words that spcc knows and does not support yet
reject/   nginx refuses these, and so must spcc

Prints what was refused and why, for people to read; with -v the whole messages. Exit status 1 if a file of accept/
has any other error or one of reject/ has none. A checkout without the corpus skips it.
"""
import collections
import glob
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CORPUS = os.path.join(os.path.dirname(ROOT), "shared", "corpus")
SPCC = os.environ.get("SPCC") or os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"), "spcc")
NOT_YET = "SP120"
ERROR = re.compile(r"^(?P<place>.*?:\d+:\d+|spcc): error: (?P<says>.*) \[(?P<code>SP\d+) [a-z-]+\]$", re.MULTILINE)


def check(path, include):
    done = subprocess.run(
        [SPCC, "check", "-I", include, path], capture_output=True, encoding="utf-8", errors="backslashreplace",
        env={**os.environ, "NO_COLOR": "1"}, timeout=60, check=False,
    )
    return done.returncode, done.stderr, [match.groupdict() for match in ERROR.finditer(done.stderr)]


def neutral_includes(folder):
    """What the corpus's neutral include paths name: an empty file."""
    os.makedirs(folder + "/run")
    for name in ("run/empty.conf", "mime.types"):
        with open(f"{folder}/{name}", "w", encoding="utf-8"):
            pass


def show(path, errors):
    for error in errors:
        place = error["place"].replace(os.path.dirname(path) + "/", "")
        print(f"    {place}: {error['says']}")


def run_accept(paths, include, verbose):
    """How many compile, how many wait for words, which are wrong."""
    clean, waiting, wrong, words = 0, 0, [], collections.Counter()
    for path in paths:
        status, text, errors = check(path, include)
        others = [error for error in errors if error["code"] != NOT_YET]
        if status not in (0, 1) or others or (status == 1) != bool(errors):
            wrong.append(path)
            print(f"WRONG accept/{os.path.basename(path)}: exit {status}")
            show(path, others)
        elif errors:
            waiting += 1
            words.update({re.sub(r'=[^"]*"', '="', error["says"].split(" is known")[0]) for error in errors})
        else:
            clean += 1
        if verbose:
            print(text)
    print("not supported yet, by the number of files that use it:")
    for word, count in words.most_common():
        print(f"    {count:3} {word}")
    return clean, waiting, wrong


def run_reject(paths, include, verbose):
    wrong = []
    for path in paths:
        status, text, errors = check(path, include)
        print(f"reject/{os.path.basename(path)}")
        others = [error for error in errors if error["code"] != NOT_YET]
        show(path, others or errors)
        if status != 1:
            wrong.append(path)
            print(f"WRONG: exit {status}")
        if verbose:
            print(text)
    return wrong


def main():
    verbose = "-v" in sys.argv[1:]
    accept, reject = (sorted(glob.glob(f"{CORPUS}/{name}/*.conf")) for name in ("accept", "reject"))
    if not accept:
        print("there is no ../shared/corpus\n0 passed, 0 failed, 1 skipped")
        return 0
    with tempfile.TemporaryDirectory(prefix="spc-") as include:
        neutral_includes(include)
        clean, waiting, wrong = run_accept(accept, include, verbose)
        wrong += run_reject(reject, include, verbose)
    print(f"{clean} compile, {waiting} wait for words not supported yet, {len(reject)} refused as by nginx")
    print(f"{len(accept) + len(reject) - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
