"""Golden files: what spcc says and what it emits.

    CASE.conf + CASE.expect     what `spcc check CASE.conf` writes to stderr, then its exit status as "exit N";
                                standard output, where there is any, follows under "--- stdout"
    CASE.conf + CASE.dump       what `spcc dump` says of the compiled CASE.conf
    CASE.args                   other arguments than "check CASE.conf" for the .expect, on one line as a shell has them

Each runs in the folder of its test, so that paths in messages are relative.
"""
import difflib
import os
import shlex
import subprocess
import tempfile

from server import SANITIZER
from talk import Failure

ENVIRONMENT = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}


def spcc(tools, folder, arguments):
    done = subprocess.run(
        ["spcc", *arguments], executable=tools["spcc"],  # it names itself in usage errors
        cwd=folder, env={**ENVIRONMENT, **sanitizer_options()}, stdin=subprocess.DEVNULL,
        capture_output=True, timeout=60, check=False,
    )
    out, err = (text.decode("utf-8", "backslashreplace") for text in (done.stdout, done.stderr))
    if SANITIZER.search(err) or done.returncode < 0:
        raise Failure(f"spcc {shlex.join(arguments)}: exit {done.returncode}\n{err}")
    return done.returncode, out, err


def sanitizer_options():
    return {name: os.environ[name] for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS") if name in os.environ}


def expect_of(folder, case, tools):
    arguments = ["check", case + ".conf"]
    if os.path.exists(f"{folder}/{case}.args"):
        with open(f"{folder}/{case}.args", encoding="utf-8") as file:
            arguments = shlex.split(file.read(), comments=True)
    status, out, err = spcc(tools, folder, arguments)
    return f"{err}exit {status}\n" + (f"--- stdout\n{out}" if out else "")


def dump_of(folder, case, tools):
    with tempfile.TemporaryDirectory(prefix="spc-") as scratch:
        blob = scratch + "/golden.spcb"
        status, _, err = spcc(tools, folder, ["-o", blob, case + ".conf"])
        if status or not os.path.exists(blob):
            raise Failure(f"{folder}/{case}.conf does not compile, exit {status}:\n{err}")
        status, out, err = spcc(tools, folder, ["dump", blob])
    if status:
        raise Failure(f"{folder}/{case}.conf: spcc dump, exit {status}:\n{err}")
    return out


def run(path, tools, update):
    """Compare, or with update rewrite; raises Failure. An empty golden file is one that waits for its first update."""
    folder, name = os.path.split(path)
    case, kind = os.path.splitext(name)
    seen = (expect_of if kind == ".expect" else dump_of)(folder or ".", case, tools)
    if update:
        with open(path, "w", encoding="utf-8") as file:
            file.write(seen)
        return
    with open(path, encoding="utf-8") as file:
        wanted = file.read()
    if seen != wanted:
        lines = difflib.unified_diff(
            wanted.splitlines(), seen.splitlines(), "expected", "seen", lineterm="", n=2
        )
        raise Failure(f"{path}:\n" + "\n".join(lines))
