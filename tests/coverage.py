#!/usr/bin/python3
"""Is every row of the tables named by a test?

    tests/coverage.py

    directives, parameters   stand in a configuration of a test, as nginx would read them
    variables                are used in one
    diagnostics              are told as "[CODE name]" in an .expect file, or as "CODE name" in a list of a test that is a program
    close reasons            end a session of a scenario: ENDS says how one sees that
    counters                 stand in the manual page of spcd, with the same sentence

Prints what no test names and, last, "N passed, N failed".
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ELSEWHERE = ("tests/manual/", "tests/coverage.py", "tests/bench/", "tests/fuzz/")  # they name all, and test none

# What a scenario has whose session ends for this reason: mostly the last line that its log has of the session. For
# others, a line of an access log with $close_reason will do.
ENDS = {
    "client_done": r"^    \[info\] \*\d+ client disconnected",
    "upstream_done": r"^    \[info\] \*\d+ upstream disconnected",
    "returned": r"^ +return .*^\w+ (answers|receives \")",
    "return_timeout": r"connection timed out [^\n]* while returning text",
    "return_failed": r"failed [^\n]* while returning text",
    "answered": r"\] \*\d+ udp done",
    "idle": r"connection timed out [^\n]* while proxying connection",
    "client_idle": r"client timed out [^\n]* while proxying connection",
    "upstream_idle": r"^only spcd$.*proxy_upstream_timeout .*upstream timed out [^\n]* while proxying connection",
    "session_timeout": r"the session has reached proxy_session_timeout",
    "client_gone": r"^about: a client that resets while both ways are full",  # on a busy machine reading may see it first
    "upstream_gone": r"^about: an origin that resets while both ways are full",  # the same
    "shutdown": r"^server is sent (TERM|INT)$.*^\w+ receives (end|reset)",
    "no_live_upstream": r"no live upstreams while connecting to upstream",
    "upstream_failed": r"(connect\(\) failed|upstream timed out) [^\n]* while connecting to upstream",
    "unanswered": r"upstream timed out [^\n]* while proxying connection, udp client",
    "tls_refused": r"the name of the upstream server has more than 255 bytes",
    "internal": r"the value has more than \d+ bytes",
}


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def tests():
    """{path: text} of all that is a test."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "tests"],
        cwd=ROOT, capture_output=True, encoding="utf-8", check=True,
    ).stdout.split("\n")
    paths = [path for path in listed if path and not path.startswith(ELSEWHERE)]
    return {path: read(path) for path in paths if os.path.isfile(os.path.join(ROOT, path))}


def rows(table, pattern):
    return re.findall(pattern, read(f"grammar/{table}.def"), re.MULTILINE)


def without_comments(text):
    return re.sub(r"(^|\s)#.*", r"\1", text)


def main():
    texts = tests()
    configurations = "\n".join(
        without_comments(text) for path, text in texts.items() if not path.endswith((".expect", ".dump", ".sh"))
    )
    told = "\n".join(text for path, text in texts.items() if path.endswith((".expect", ".py", "/run")))
    scenarios = [text for path, text in texts.items() if path.endswith((".talk", "tls/run.py"))]
    words = set(re.findall(r"(?:^|[\s{;'\"])(\w+=?)(?=[^=\w]|\w|$)", configurations, re.MULTILINE))
    variables = set(re.findall(r"\$\{?(\w+)", configurations))
    wanted = [(f"directive {name}", name in words) for name in rows("directives", r'^DIRECTIVE\(\w+, "(\w+)"')]
    wanted += [
        (f"parameter {name} of {of}", name in words)
        for of, name in rows("directives", r'^PARAMETER\((\w+), \w+, "(\w+=?)"')
    ]
    wanted += [(f"${name}", name in variables) for name in rows("variables", r"^VARIABLE(?:_LATER)?\((\w+)")]
    wanted += [
        (f"[{code} {name}]", f"[{code} {name}]" in told or f" {code} {name}\n" in told)
        for code, name in sorted(set(rows("diagnostics", r'^DIAGNOSTIC\(\w+, "(SP\d+)", "([\w-]+)"')))
    ]
    for reason in rows("metrics", r"^CLOSE\((\w+)"):
        sign = re.compile(ENDS.get(reason, rf"^    [^\n]*\b{reason}\b"), re.MULTILINE | re.DOTALL)
        wanted.append((f"close reason {reason}", any(sign.search(text) for text in scenarios)))
    page = read("docs/spcd.8")
    wanted += [
        (f"counter {name}, nor does docs/spcd.8", f".It {name}\n{says}\n" in page)
        for name, says in rows("metrics", r'^COUNTER\((\w+), "(.*)"\)')
    ]
    missing = [name for name, named in wanted if not named]
    for name in missing:
        print(f"no test names {name}")
    print(f"{len(wanted) - len(missing)} passed, {len(missing)} failed")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
