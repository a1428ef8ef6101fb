#!/usr/bin/env python3
"""A geo of a million networks and a map of a million keys in nginx and spcd: from the start to the first answer, and the
memory that a worker has for itself. Part of make bench; it measures and asserts nothing.

    tests/bench/tables.py [--rounds N] [--build DIR] [--markdown FILE]
"""
import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PORT, COUNT = 20110, 1000 * 1000


def geo():
    entries = "".join(f"{10 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.{i * 7 & 254}/31 v{i % 50};\n" for i in range(COUNT))
    return f"geo $v {{\ndefault none;\n{entries}}}\n"


def keys():
    entries = "".join(f"key{i}.example.com value{i};\n" for i in range(COUNT))
    return f"map_hash_max_size 2000000;\nmap_hash_bucket_size 128;\nmap $remote_addr $v {{\ndefault none;\n{entries}}}\n"


CASES = {"geo of 1,000,000 networks": geo, "map of 1,000,000 keys": keys}


def command(kind, where, text, build):
    path = f"{where}/{kind}.conf"
    load = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n" if kind == "nginx" else ""
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{load}worker_processes 1;\ndaemon off;\npid {where}/{kind}.pid;\nerror_log {where}/{kind}.log error;\n"
                   f"events {{}}\nstream {{\n{text}server {{ listen 127.0.0.1:{PORT}; return $v; }}\n}}\n")
    if kind == "nginx":
        return ["nginx", "-c", path, "-p", where]
    subprocess.run([f"{build}/spcc", "-o", f"{where}/spcd.spcb", path], check=True, stderr=subprocess.DEVNULL)
    return [f"{build}/spcd", f"{where}/spcd.spcb"]


def wait_for_answer():
    while True:
        try:
            with socket.create_connection(("127.0.0.1", PORT), 60) as one:
                if one.recv(10):
                    return
        except ConnectionRefusedError:
            time.sleep(0.0005)


def private_mb(pid):
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_")) / 1024


def measure(line):
    started = time.monotonic()
    process = subprocess.Popen(line, stderr=subprocess.DEVNULL)
    try:
        wait_for_answer()
        passed = time.monotonic() - started
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="utf-8") as file:
            worker = file.read().split()[0]
        return passed * 1000, private_mb(worker)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def table(rounds, build):
    rows = ["| table | spcd: start | nginx: start | times | spcd: private | nginx: private | times |", "|---|---|---|---|---|---|---|"]
    for case, make in CASES.items():
        with tempfile.TemporaryDirectory() as where:
            lines = {kind: command(kind, where, make(), build) for kind in ("spcd", "nginx")}
            seen = {kind: [] for kind in lines}
            for _ in range(rounds):
                for kind, line in lines.items():
                    seen[kind].append(measure(line))
        start, memory = ({kind: statistics.median(one[at] for one in seen[kind]) for kind in seen} for at in (0, 1))
        rows.append(f"| {case} | {start['spcd']:.0f} ms | {start['nginx']:.0f} ms | {start['nginx'] / start['spcd']:.1f} | "
                    f"{memory['spcd']:.1f} MB | {memory['nginx']:.1f} MB | {memory['nginx'] / memory['spcd']:.0f} |")
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--build", default=f"{ROOT}/build")
    parser.add_argument("--markdown")
    options = parser.parse_args()
    text = table(options.rounds, options.build)
    print(text)
    if options.markdown:
        mark = "<!-- tables -->\n"
        with open(options.markdown, encoding="utf-8") as file:
            before, _, rest = file.read().partition(mark)
        rest = rest.split("\n\n", 1)[1] if "\n\n" in rest else ""
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write(f"{before}{mark}{text}\n\n{rest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
