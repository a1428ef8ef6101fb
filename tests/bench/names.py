#!/usr/bin/env python3
"""Connections that are routed by the name in their ClientHello, through a map of 10,000 names: CPU of the proxy for each.
Part of make bench; it measures and asserts nothing.

    tests/bench/names.py [--rounds N] [--build DIR] [--markdown FILE]

One worker each; a connection sends a ClientHello of 517 bytes, has it back from the origin behind its name, and ends.
The figure is the median of the rounds, in which the proxies take turns. A name that is not routed is a failure.
"""
import copy
import statistics
import sys
import tempfile

import markdown
from bench import build_load
from processes import Cpu
from proxies import NGINX_CONF, NGINX_SERVER, proxies
from serving import Serving

NAMES, COUNT, AT_ONCE, BAR = 10000, 10000, 64, 0.95
PREREAD = "    server {{ listen 127.0.0.1:{port}; ssl_preread on; proxy_pass {to}; }}\n"
EXACT = "".join(f"host-{i}.example.com %(to)s;\n" for i in range(NAMES))
HASH = "map_hash_max_size 20000;\nmap_hash_bucket_size 128;\n"
CASES = {  # name: the map, what proxy_pass says
    "ssl_preread, no map": ("", "{to}"),
    "a map of 10,000 names": (HASH + "map $ssl_preread_server_name $to {\n" + EXACT + "}\n", "$to"),
    "the same, with hostnames": (HASH + "map $ssl_preread_server_name $to {\nhostnames;\n" + EXACT + "}\n", "$to"),
}


class Load:
    """What Serving needs of a bench."""

    def __init__(self, where):
        self.where, self.load_program = where, build_load()


def with_names(proxy, case):
    """The proxy, whose first server routes nothing, for the question whether it serves, and whose second routes."""
    table, target = CASES[case]
    changed = copy.copy(proxy)

    def write(where, origin, ports, connections=4096):
        to = f"127.0.0.1:{origin}"
        servers = (table % {"to": to} if table else "") + NGINX_SERVER.format(port=ports[0], origin=origin) + \
            PREREAD.format(port=ports[1], to=target.format(to=to))
        with open(f"{where}/conf", "w", encoding="ascii") as file:
            file.write(NGINX_CONF.format(dir=where, servers=servers, connections=connections, **proxy.fill))
    changed.write = write
    return changed


def measure(load, proxy, case):
    with Serving(load, with_names(proxy, case), "echo", servers=2) as serving:
        serving.launch()
        port = serving.ports[1]
        serving.work(["named", port, NAMES // 5, AT_ONCE, 60, NAMES], Cpu())  # warm
        seen, spent_ns = serving.work(["named", port, COUNT, AT_ONCE, 60, NAMES], Cpu())
        if seen["failed"]:
            raise RuntimeError(f"{seen['failed']} of {seen['begun']} failed through {proxy.name}")
        return spent_ns / 1e3 / seen["done"]


def table(build, rounds):
    rows = ["| routed by | spcd: us a connection | nginx | ratio (least to greatest) | bar |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory(prefix="spcd-bench-") as where:
        load, both = Load(where), [proxies(build)[name] for name in ("spcd", "nginx")]
        for case in CASES:
            ours, theirs = [], []
            for _ in range(rounds):
                ours.append(measure(load, both[0], case))
                theirs.append(measure(load, both[1], case))
                print(f"{case}: {ours[-1]:.2f} {theirs[-1]:.2f}", file=sys.stderr)
            ratios = sorted(one / other for one, other in zip(ours, theirs))
            rows.append(f"| {case} | {statistics.median(ours):.2f} | {statistics.median(theirs):.2f} | "
                        f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) | {BAR} |")
    return "\n".join(rows)


if __name__ == "__main__":
    markdown.run("names", table, rounds=9)
