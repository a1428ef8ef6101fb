#!/usr/bin/env python3
"""Datagrams through spcd and nginx in turn: CPU time of the proxy for each, as ratios. Part of make bench.

    tests/bench/datagrams.py [--rounds N] [--build DIR] [--markdown FILE]

One worker each, pinned to CPU 0; the clients and the origin on CPU 1. The figure of a case is the median of the
rounds, in which the proxies take turns; for queries the shortest possible relay (datagram_floor.c) takes turns too. --markdown writes the table behind <!-- datagrams --> in FILE.
"""
import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FRONT, QUERY, ORIGIN = 20100, 20101, 20102
SERVERS = """
    server {{ listen 127.0.0.1:{front} udp rcvbuf=1m; proxy_pass 127.0.0.1:{origin}; proxy_timeout 20s; }}
    server {{ listen 127.0.0.1:{query} udp rcvbuf=1m; proxy_pass 127.0.0.1:{origin}; proxy_responses 1; proxy_timeout 20s; }}
"""
# name: what the load program is asked, the bar of the issue
CASES = {
    "query, a new port each": (["query", str(QUERY), "60000", "15000"], 0.35),
    "query, 64 ports": (["query", str(QUERY), "60000", "64"], 0.35),
    "8 sessions, 64 bytes": (["flow", str(FRONT), "200000", "64", "1"], 0.6),
    "8 sessions, 1200 bytes": (["flow", str(FRONT), "200000", "1200", "1"], 0.6),
    "8 sessions, 1200 bytes, joined": (["flow", str(FRONT), "800000", "1200", "16"], 0.12),
}
FLOORED = ("query, a new port each", "query, 64 ports")


def config(kind, where):
    stream = SERVERS.format(front=FRONT, query=QUERY, origin=ORIGIN)
    load = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n" if kind == "nginx" else ""
    return (f"{load}worker_processes 1;\nworker_cpu_affinity 1;\nerror_log {where}/{kind}.log error;\n"
            f"pid {where}/{kind}.pid;\ndaemon off;\n"
            f"events {{ worker_connections 16384; }}\nstream {{{stream}}}\n")


IDLE, IDLE_BAR = 10000, 512  # sessions; bytes of user memory for each


class Proxy:
    def __init__(self, kind, where, build):
        self.process = subprocess.Popen(self.command(kind, where, build), stderr=subprocess.DEVNULL)
        time.sleep(0.7)

    @staticmethod
    def command(kind, where, build):
        if kind == "floor":
            return ["taskset", "-c", "0", f"{where}/datagram_floor", str(QUERY), str(ORIGIN)]
        path = f"{where}/{kind}.conf"
        with open(path, "w", encoding="utf-8") as file:
            file.write(config(kind, where))
        if kind == "nginx":
            return ["nginx", "-c", path, "-p", where]
        subprocess.run([f"{build}/spcc", "-o", f"{where}/spcd.spcb", path], check=True, stderr=subprocess.DEVNULL)
        return [f"{build}/spcd", f"{where}/spcd.spcb"]

    def cpu(self):
        """Seconds that the process and its children have used."""
        total = 0
        for pid in [self.process.pid, *children(self.process.pid)]:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0])  # exact; the ticks of stat miss who sleeps often
        return total / 1e9

    def memory(self):
        """Bytes of its own that the process and its children have in memory."""
        total = 0
        for pid in [self.process.pid, *children(self.process.pid)]:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Private_")) * 1024
        return total

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
        return [int(one) for one in file.read().split()]


def measure(kind, case, program, where, build):
    """CPU microseconds a datagram of the client's; and how many of a thousand were lost."""
    proxy = Proxy(kind, where, build)
    try:
        command = ["taskset", "-c", "1", program, *CASES[case][0]]
        if case.startswith("query"):  # spcd learns within a second if a server's sockets may serve again
            subprocess.run(command, check=True, capture_output=True, timeout=120)
        before = proxy.cpu()
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
        sent, answered, _ = done.stdout.split()
        used, lost = proxy.cpu() - before, 1000 - 1000 * int(answered) / int(sent)
        print(f"{case}: {kind}: {used / int(answered) * 1e6:.2f} us, {lost:.1f} of 1,000 lost", file=sys.stderr)
        return used / int(answered) * 1e6, lost
    finally:
        proxy.stop()


def measure_idle(kind, program, where, build):
    """Bytes that each of IDLE sessions takes."""
    proxy = Proxy(kind, where, build)
    try:
        before = proxy.memory()
        with subprocess.Popen(["taskset", "-c", "1", program, "hold", str(FRONT), str(IDLE)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as holder:
            answered = int(holder.stdout.readline().split()[1])
            used = (proxy.memory() - before) / answered
            holder.stdin.close()
        print(f"idle: {kind}: {used:.0f} bytes for each of {answered} sessions", file=sys.stderr)
        return used
    finally:
        proxy.stop()


def run(options, where):
    program = f"{where}/datagrams"
    for name in ("datagrams", "datagram_floor"):
        subprocess.run(["gcc", "-O2", "-o", f"{where}/{name}", f"{ROOT}/tests/bench/{name}.c"], check=True)
    origin = subprocess.Popen(["taskset", "-c", "1", program, "origin", str(ORIGIN)])
    results = {}
    try:
        for case in options.only:
            for _ in range(options.rounds):
                for kind in ("spcd", "nginx", "floor") if case in FLOORED else ("spcd", "nginx"):
                    results.setdefault((case, kind), []).append(measure(kind, case, program, where, options.build))
        for kind in ("spcd", "nginx"):
            results["idle", kind] = measure_idle(kind, program, where, options.build)
    finally:
        origin.kill()
        origin.wait()
    return results


def table(results):
    rows = ["| work | spcd | nginx | ratio | bar | floor | floor / nginx | lost of 1,000 |", "|---|---|---|---|---|---|---|---|"]
    for case, (_, bar) in CASES.items():
        if (case, "spcd") not in results:
            continue
        ours, theirs = ([one[0] for one in results[case, kind]] for kind in ("spcd", "nginx"))
        lost = "/".join(f"{statistics.median(one[1] for one in results[case, kind]):.1f}" for kind in ("spcd", "nginx"))
        ours, theirs = statistics.median(ours), statistics.median(theirs)
        floor = [one[0] for one in results.get((case, "floor"), [])]
        least = f"{statistics.median(floor):.2f} us | {statistics.median(floor) / theirs:.2f}" if floor else " | "
        rows.append(f"| {case} | {ours:.2f} us | {theirs:.2f} us | {ours / theirs:.2f} | {bar} | {least} | {lost} |")
    ours, theirs = results["idle", "spcd"], results["idle", "nginx"]
    rows.append(f"| {IDLE:,} idle sessions, memory of each | {ours:.0f} B | {theirs:.0f} B | {ours / theirs:.2f} | "
                f"{IDLE_BAR} B | | | |")
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--build", default=f"{ROOT}/build")
    parser.add_argument("--markdown")
    parser.add_argument("--only", nargs="*", default=list(CASES), help="of the cases")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as where:
        text = table(run(options, where))
    print(text)
    if options.markdown:
        mark = "<!-- datagrams -->\n"
        with open(options.markdown, encoding="utf-8") as file:
            before, _, rest = file.read().partition(mark)
        rest = rest.split("\n\n", 1)[1] if "\n\n" in rest else ""
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write(f"{before}{mark}{text}\n\n{rest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
