#!/usr/bin/python3
"""Memory stays linear in the input: four times the file takes about four times the memory, for each kind of content.

What spcc needs for an empty file is taken off. Last line: "N passed, N failed".
"""
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SPCC = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"), "spcc")
SLACK = 1.6  # vectors and maps grow by doubling, so a step may fall between the two sizes


def servers(count):
    lines = (f"server {{ listen 127.0.{i >> 8 & 255}.{i & 255}:80; proxy_pass 10.0.0.1:{i % 60000 + 1}; }}\n"
             for i in range(count))
    return "stream {\n" + "".join(lines) + "}\n"


def entries(count):
    return ("stream { map $remote_addr $v {\n" + "".join(f"key{i} value{i};\n" for i in range(count))
            + "}\nserver { listen 80; return $v; } }\n")


def networks(count):
    return ("stream { geo $v {\n" + "".join(f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255} {i % 9};\n" for i in range(count))
            + "}\nserver { listen 80; return $v; } }\n")


def mistakes(count):
    return "stream { server { listen 80; return a;\n" + "proxy_timeoutt 1s;\n" * count + "} }\n"


def words(count):
    return "stream { server { listen 80; return \"" + "x" * 60000 + "\"; } }\n" + "# comment ; { } \" \n" * count


CASES = {servers: 20000, entries: 50000, networks: 50000, mistakes: 5000, words: 50000}


def memory(text):
    """The most that spcc check had at once, in KiB."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(text)
        file.flush()
        with subprocess.Popen([SPCC, "check", file.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as one:
            _, status, used = os.wait4(one.pid, 0)
            one.returncode = status
        if os.waitstatus_to_exitcode(status) not in (0, 1):
            raise RuntimeError(f"exit status {os.waitstatus_to_exitcode(status)}")
        return used.ru_maxrss


def main():
    failed, base = 0, memory("")
    for make, count in CASES.items():
        once, more = (memory(make(count * n)) - base for n in (1, 4))
        if more > 4 * once * SLACK:
            failed += 1
            print(f"FAILED {make.__name__}: {count} take {once} KiB, {4 * count} take {more}")
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
