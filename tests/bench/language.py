#!/usr/bin/env python3
"""How long spcc takes over large configurations, beside `nginx -t` on the same files.

    tests/bench/language.py [--small] [--markdown FILE]

lines      servers, each with an upstream and a map, in files of 10,000, 50,000 and 100,000 lines: is it linear?
geo        one geo of a million networks
map        one map of a million keys

With --small everything is a tenth of the size. --markdown replaces what FILE has between <!-- language --> and
<!-- end of language -->. Times are measured and said, never asserted: a busy machine is no mistake of the language.
"""
import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SPCC = os.environ.get("SPCC") or os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"), "spcc")
BEGIN, END = "<!-- language -->", "<!-- end of language -->"
NGINX_HEAD = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\npid nginx.pid;\nerror_log error.log emerg;\n"
SERVER_LINES = 20  # of one server with its upstream and map
RUNS = 5


def servers(lines):
    """That many lines; every server has an address, an upstream and a map of its own."""
    yield "stream {\n"
    for i in range(lines // SERVER_LINES):
        yield f"""    upstream group{i} {{
        server 10.{i >> 8 & 255}.{i & 255}.1:5432 weight=5;
        server 10.{i >> 8 & 255}.{i & 255}.2:5432 max_fails=2 fail_timeout=5s;
        server 10.{i >> 8 & 255}.{i & 255}.3:5432 backup;
    }}
    map $remote_addr $target{i} {{
        default group{i};
        10.0.0.{i & 255} group{i // 2};
        ~^192\\.168\\. group0;
    }}
    server {{
        listen 127.{i >> 14 & 255}.{i >> 7 & 127}.{1 + (i & 127)}:{8000 + i % 1000};
        proxy_pass $target{i};
        proxy_connect_timeout 1s;
        proxy_timeout 10m;
        proxy_download_rate 1m;
        proxy_next_upstream_tries 2;
        allow 10.0.0.0/8;
        deny all;
    }}
"""
    yield "}\n"


def networks(count):
    yield "stream {\n    geo $country {\n        default none;\n"
    for i in range(count):
        yield f"        {10 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24 c{i % 200};\n"
    yield "    }\n    server { listen 127.0.0.1:8000; return $country; }\n}\n"


def keys(count):
    yield "stream {\n    map_hash_max_size 4194304;\n    map_hash_bucket_size 128;\n    map $remote_addr $target {\n"
    for i in range(count):
        yield f"        host{i}.example.com backend{i % 100};\n"
    yield "    }\n    server { listen 127.0.0.1:8000; return $target; }\n}\n"


def write(folder, parts):
    """The configuration for spcc, and for nginx with what it needs besides."""
    paths = folder + "/own.conf", folder + "/nginx.conf"
    text = "".join(parts)
    for path, head in zip(paths, ("", NGINX_HEAD)):
        with open(path, "w", encoding="utf-8") as file:
            file.write(head + "worker_rlimit_nofile 65536;\nevents { worker_connections 32768; }\n" + text)
    return paths


class Measured:
    """Some runs of a command: seconds that passed, seconds of CPU, and whether it was content."""

    def __init__(self, command, folder):
        self.passed, self.cpu = [], []
        for _ in range(RUNS):
            before, start = cpu_of_children(), time.monotonic()
            done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", errors="replace",
                                  check=False)
            self.passed.append(time.monotonic() - start)
            self.cpu.append(cpu_of_children() - before)
        self.good = done.returncode == 0
        self.said = done.stderr.strip()

    def seconds(self):
        return statistics.median(self.cpu)

    def text(self):
        """CPU with its spread, and what passed on the clock."""
        if not self.good:
            return "refused"
        return (f"{self.seconds():.3f} ({min(self.cpu):.3f}–{max(self.cpu):.3f}), "
                f"{statistics.median(self.passed):.3f} passed")


def cpu_of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Row:
    def __init__(self, name, parts):
        self.name = name
        with tempfile.TemporaryDirectory(prefix="spc-") as folder:
            own, nginx = write(folder, parts)
            self.megabytes = os.path.getsize(own) / 1e6
            self.check = Measured([SPCC, "check", own], folder)
            self.build = Measured([SPCC, "-o", folder + "/own.spcb", own], folder)
            self.nginx = Measured(["nginx", "-p", folder, "-e", "error.log", "-t", "-c", nginx], folder)
        for who, what in (("spcc check", self.check), ("nginx -t", self.nginx)):
            if not what.good:
                print(f"{name}: {who}: {what.said[-300:]}", file=sys.stderr)

    def ratio(self):
        both = self.check.good and self.nginx.good
        return f"{self.check.seconds() / self.nginx.seconds():.2f}" if both else ""

    def cells(self):
        return [self.name, f"{self.megabytes:.1f}", self.check.text(), self.nginx.text(), self.ratio(),
                self.build.text()]


def linear(rows):
    """How the time for a line grows from the first of the rows to the last."""
    first, last = rows[0].check.seconds() / rows[0].megabytes, rows[-1].check.seconds() / rows[-1].megabytes
    return (f"A byte of the longest of the files of servers takes {last / first:.2f} times as long to check as one of "
            f"the shortest: 1 is linear.")


def report(rows, file):
    print("| file | MB | spcc check | nginx -t | ratio | spcc -o |\n|---|---|---|---|---|---|", file=file)
    for row in rows:
        print("| " + " | ".join(row.cells()) + " |", file=file)
    print("\n" + linear(rows[:3]), file=file)


def replace(path, rows):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if BEGIN not in text or END not in text:
        sys.exit(f"language: {path} has no {BEGIN} and {END}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text[:text.index(BEGIN)] + BEGIN + "\n\n")
        report(rows, file)
        file.write("\n" + text[text.index(END):])


def raise_descriptors():
    """nginx -t opens every socket that it would listen to."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--markdown", metavar="FILE")
    chosen = parser.parse_args()
    by = 10 if chosen.small else 1
    raise_descriptors()
    rows = [Row(f"{lines // by:,} lines of servers", servers(lines // by)) for lines in (10_000, 50_000, 100_000)]
    rows.append(Row(f"geo of {1_000_000 // by:,} networks", networks(1_000_000 // by)))
    rows.append(Row(f"map of {1_000_000 // by:,} keys", keys(1_000_000 // by)))
    report(rows, sys.stdout)
    if chosen.markdown:
        replace(chosen.markdown, rows)


if __name__ == "__main__":
    main()
