#!/usr/bin/env python3
"""TLS with the upstream server, by spcd, nginx and HAProxy in turn: CPU and memory of the proxy. Part of make bench; it measures and
asserts nothing but that sessions succeed, and resume where they are to.

    tests/bench/secure.py [--rounds N] [--only PATTERN] [--build DIR] [--markdown FILE]

One worker each, on CPU 0; the client, in clear, and the origin (secure.c, by OpenSSL) on CPU 1. TLS 1.3, AES-128-GCM, X25519, an RSA-2048
certificate that is verified. The figure of a case is the median of the rounds, in which the proxies take turns.
"""
import collections
import copy
import fnmatch
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import markdown
from bench import build_load, raise_descriptors
from processes import LOAD_CPU, Cpu, memory, start, stop
from proxies import HAPROXY_CONF, NGINX_CONF, ROOT, proxies
from serving import Serving

sys.path[:0] = [ROOT + "/tests/tls"]
from origins import Authority  # noqa: E402

GB = 1e9
Case = collections.namedtuple("Case", "origin work unit bar resumes", defaults=[True])
CASES = {
    "bulk to the server": Case(["bulk"], ("bulk", 8, 1e9, 0), "s/GB", 0.85),
    "bulk from the server": Case(["bulk"], ("bulk", 8, 0, 1e9), "s/GB", 0.85),
    "records of 1,400 bytes from the server": Case(["bulk", "1400"], ("bulk", 8, 0, 5e8), "s/GB", 0.6),
    "64 bytes there and back": Case(["echo"], ("ping", 30000, 64), "us", None),
    "full handshakes": Case(["echo"], ("short", 1500, 16), "us", 1.0, False),
    "resumed handshakes": Case(["echo"], ("short", 3000, 16), "us", 0.9),
    "idle sessions": Case(["echo"], ("hold", 9000), "B", None),
}
IDLE_BAR = 6000
NGINX_SERVER = ("    server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{origin}; proxy_ssl on; proxy_ssl_protocols TLSv1.3; "
                "proxy_ssl_verify on; proxy_ssl_trusted_certificate %(ca)s; proxy_ssl_name x.example; proxy_ssl_server_name on; "
                "proxy_ssl_session_reuse %(reuse)s; }}\n")
HAPROXY_SERVER = ("listen s{port}\n    bind 127.0.0.1:{port}\n    server o 127.0.0.1:{origin} ssl verify required ca-file %(ca)s "
                  "verifyhost x.example sni str(x.example) ssl-min-ver TLSv1.3 %(reuse)s\n")


class Secure(Serving):
    """With an origin that speaks TLS."""

    def __enter__(self):
        self.where = tempfile.mkdtemp(prefix=f"{self.proxy.name}-", dir=self.bench.where)
        self.origin = start([self.bench.secure_program, self.bench.path("server.pem"), self.bench.path("server.key"),
                             *self.origin_mode], LOAD_CPU, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.origin_port = json.loads(self.origin.stdout.readline())["port"]
        self.child = None
        self.configure(self.servers)
        self.origin_mode = self.origin_mode[0]
        return self

    def handshakes(self):
        """How many there were, and how many of them resumed."""
        self.origin.stdin.write("\n")
        self.origin.stdin.flush()
        seen = json.loads(self.origin.stdout.readline())
        return seen["handshakes"], seen["resumed"]


class Load:
    """What Serving needs of a bench; the programs, and the certificates."""

    def __init__(self, where):
        self.where, self.load_program = where, build_load()
        self.secure_program = os.path.join(ROOT, "build", "bench", "secure")
        subprocess.run(["gcc", "-std=c17", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", self.secure_program,
                        f"{ROOT}/tests/bench/secure.c", "-lssl", "-lcrypto"], check=True)
        Authority(where).issue("server", "x.example", "subjectAltName=DNS:x.example\nextendedKeyUsage=serverAuth\n")

    def path(self, name):
        return os.path.join(self.where, name)

    def secure(self, proxy, case):
        """The proxy as the case wants it."""
        changed = copy.copy(proxy)
        settings = {"ca": self.path("ca.pem")}
        if proxy.name == "haproxy":
            changed.text, changed.server = HAPROXY_CONF, HAPROXY_SERVER % {"reuse": "" if case.resumes else "no-ssl-reuse", **settings}
        else:
            changed.text, changed.server = NGINX_CONF, NGINX_SERVER % {"reuse": "on" if case.resumes else "off", **settings}
        return changed


def run_idle(serving, count):
    before = memory(serving.pid)["private"]
    holder = start([serving.bench.load_program, "hold", str(serving.ports[0]), str(count)], LOAD_CPU, stdin=subprocess.PIPE,
                   stdout=subprocess.PIPE, text=True)
    holder.stdout.readline()
    holder.stdin.write("\n")
    holder.stdin.flush()
    seen = json.loads(holder.stdout.readline())
    time.sleep(1)
    after = memory(serving.pid)["private"]
    stop(holder)
    return (after - before) / seen["done"], seen


def run_load(serving, work):
    kind, *numbers = work
    port = serving.ports[0]
    if kind == "bulk":
        each = [int(number / numbers[0]) for number in numbers[1:]]
        serving.work(["bulk", port, 2, *(number // 20 for number in each)], Cpu())
        seen, spent_ns = serving.work(["bulk", port, numbers[0], *each], Cpu())
        return spent_ns / GB / (sum(each) * max(seen["done"], 1) / GB), seen
    words = [kind, port, *numbers, 60, *(["client"] if kind == "short" else [])]
    serving.work([*words[:2], numbers[0] // 10, *words[3:]], Cpu())
    seen, spent_ns = serving.work(words, Cpu())
    return spent_ns / 1e3 / max(seen["done"], 1), seen


def measure(load, proxy, case):
    kind, *numbers = case.work
    with Secure(load, load.secure(proxy, case), case.origin, connections=2 * numbers[0] + 200 if kind == "hold" else 4096) as serving:
        serving.launch()
        figure, seen = run_idle(serving, numbers[0]) if kind == "hold" else run_load(serving, case.work)
        if seen["failed"]:
            raise RuntimeError(f"{seen['failed']} of {seen['begun']} failed through {proxy.name}: {serving.complaint()}")
        made, resumed = serving.handshakes()
        if kind == "short" and (resumed > 0.9 * made) != case.resumes:
            print(f"of {made} handshakes of {proxy.name} {resumed} resumed", file=sys.stderr)
        return figure


def row(name, case, seen):
    print_as = {"s/GB": "{:.3f}", "us": "{:.1f}", "B": "{:.0f}"}[case.unit]
    cells = [print_as.format(statistics.median(values)) + f" ({print_as.format(min(values))}–{print_as.format(max(values))})"
             for values in seen.values()]
    ratios = sorted(ours / min(theirs) for ours, *theirs in zip(*seen.values()))
    bar = f"{IDLE_BAR} B" if case.unit == "B" else case.bar or ""
    return (f"| {name} | {case.unit} | {' | '.join(cells)} | {statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f}) | {bar} |")


def table(build, rounds, only):
    rows = ["| work | | spcd | nginx | haproxy | to the better peer | bar |", "|---|---|---|---|---|---|---|"]
    raise_descriptors(65536)
    with tempfile.TemporaryDirectory(prefix="spcd-bench-") as where:
        os.chmod(where, 0o755)
        load, all_of_them = Load(where), proxies(build)
        order = ["spcd", "nginx", "haproxy"]
        for name, case in CASES.items():
            if not fnmatch.fnmatch(name, only):
                continue
            seen = {proxy: [] for proxy in order}
            for turn in range(1 if case.unit == "B" else rounds):
                for proxy in order[turn % 3:] + order[:turn % 3]:
                    seen[proxy].append(measure(load, all_of_them[proxy], case))
            rows.append(row(name, case, seen))
            print(rows[-1], file=sys.stderr)
    return "\n".join(rows)


if __name__ == "__main__":
    markdown.run("secure", table, rounds=5, only="*")
