#!/usr/bin/env python3
"""DNS through spcd and nginx in turn: dnsperf, real queries, knot as the server. Part of make bench.

    tests/bench/queries.py [--rounds N] [--build DIR] [--markdown FILE]

One worker each, pinned to CPU 0; dnsperf on CPU 1, knot wherever there is room. First what each proxy answers at most; then, at
half of what nginx does, the latencies that dnsperf saw (-v), of which those without a proxy, taken in the same round, are subtracted;
last, what spcd loses at nginx's most.
"""
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import markdown
from proxies import NGINX_CONF, NGINX_MODULE, Nginx, Spcd

NAMES, CLIENTS, SECONDS, KNOT = 4000, 20, 2, 20100
PORTS = {"knot": KNOT, "spcd": KNOT + 1, "nginx": KNOT + 2}
SERVER = "    server {{ listen 127.0.0.1:{port} udp; proxy_pass 127.0.0.1:{origin}; proxy_responses 1; proxy_timeout 5s; }}\n"
BARS = {"latency": 0.7, "lost": 0}
ZONE = "$TTL 60\n@ SOA a b 1 60 60 60 60\n@ NS a.other.\n"
KNOT_CONF = """server:
    listen: 127.0.0.1@{port}
    rundir: {where}
    pidfile: knot.pid
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: {where}
zone:
  - domain: x.example
    file: {where}/zone
    zonefile-sync: -1
    journal-content: none
"""


def write(where, name, text):
    with open(f"{where}/{name}", "w", encoding="ascii") as file:
        file.write(text)


def pinned(text):
    return text.replace("worker_processes 1;", "worker_processes 1;\nworker_cpu_affinity 1;")


def proxies(build):
    module = f"load_module {NGINX_MODULE};\n" if NGINX_MODULE else ""
    return [Spcd("spcd", f"{os.path.abspath(build)}/spcd", pinned(NGINX_CONF), SERVER, {"load_module": ""}),
            Nginx("nginx", "nginx", pinned(NGINX_CONF), SERVER, {"load_module": module})]


def begin(where, build):
    """knot and the proxies before it."""
    write(where, "zone", ZONE + "".join(f"n{i:04} A 127.1.{i >> 8}.{i & 255}\n" for i in range(NAMES)))
    write(where, "queries", "".join(f"n{i:04}.x.example A\n" for i in range(NAMES)))
    write(where, "knot.conf", KNOT_CONF.format(port=KNOT, where=where))
    children = [subprocess.Popen(["knotd", "-c", f"{where}/knot.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)]
    for proxy in proxies(build):
        folder = f"{where}/{proxy.name}"
        os.mkdir(folder)
        proxy.write(folder, KNOT, [PORTS[proxy.name]])
        proxy.prepare(folder)
        children.append(subprocess.Popen(proxy.command(folder), stdin=subprocess.DEVNULL))
    time.sleep(1)
    return children


def ask(where, name, rate=None):
    """What dnsperf printed, and where it was given a rate, the latency of each query, in order."""
    command = ["taskset", "-c", "1", "dnsperf", "-s", "127.0.0.1", "-p", str(PORTS[name]), "-d", f"{where}/queries", "-c", str(CLIENTS),
               "-l", str(SECONDS)]
    with open(f"{where}/said", "w+", encoding="ascii") as file:
        subprocess.run(command + (["-Q", str(rate), "-v"] if rate else []), stdout=file, stderr=file, check=True, timeout=60)
        file.seek(0)
        said = file.read()
    return said, sorted(float(one) * 1e6 for one in re.findall(r"^> \S+ \S+ A ([\d.]+)", said, re.MULTILINE))


def number(said, name):
    return float(re.search(rf"{name}: *([\d.]+)", said)[1])


def measure(where, rounds):
    most = {name: [] for name in PORTS}
    added = {name: {50: [], 99: []} for name in ("spcd", "nginx")}
    for _ in range(rounds):
        for name in PORTS:
            most[name].append(number(ask(where, name)[0], "Queries per second"))
    saturation = int(statistics.median(most["nginx"]))
    for _ in range(rounds):
        seen = {name: ask(where, name, saturation // 2)[1] for name in PORTS}
        for name, of_name in added.items():
            for percent, values in of_name.items():
                values.append(seen[name][len(seen[name]) * percent // 100] - seen["knot"][len(seen["knot"]) * percent // 100])
    lost = [number(ask(where, "spcd", saturation)[0], "Queries lost") for _ in range(rounds)]
    return most, added, saturation, lost


def spread(values, digits=0):
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def ratios(ours, theirs):
    """Of rounds in which there was something to divide by."""
    return [one / other for one, other in zip(ours, theirs) if other > 0]


def table(build, rounds):
    for program in ("knotd", "dnsperf", "nginx"):
        if not shutil.which(program):
            raise SystemExit(f"queries.py: there is no {program}")
    with tempfile.TemporaryDirectory() as where:
        os.chmod(where, 0o755)
        children = begin(where, build)
        try:
            most, added, saturation, lost = measure(where, rounds)
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait()
    rows = ["| dnsperf, 100 queries on their way | spcd | nginx | spcd / nginx | bar |", "|---|---|---|---|---|",
            f"| answers a second at most; knot alone {spread(most['knot'])} | {spread(most['spcd'])} | {spread(most['nginx'])} | "
            f"{spread(ratios(most['spcd'], most['nginx']), 2)} | |"]
    for percent in (50, 99):
        ours, theirs = added["spcd"][percent], added["nginx"][percent]
        rows.append(f"| latency added at {saturation // 2:,} a second, percentile {percent}, us | {spread(ours)} | {spread(theirs)} | "
                    f"{spread(ratios(ours, theirs), 2)} | {BARS['latency'] if percent == 99 else ''} |")
    rows.append(f"| lost at {saturation:,} a second, of {saturation * SECONDS:,} | {spread(lost)} | | | {BARS['lost']} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    markdown.run("queries", table, rounds=7)
