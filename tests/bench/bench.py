#!/usr/bin/env python3
"""Run spcd, nginx, HAProxy and the floor in turn on the same work, and print ratios with their spread.

One worker each, pinned to CPU 0; the client and the origin on CPU 1. Everything is on loopback, bounded in count
and in time, and ended by this program. It never asserts a time: it measures and says what it saw.
"""
import argparse
import atexit
import collections
import fnmatch
import glob
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

from cases import CASES                                                              # noqa: E402
from processes import LOAD_CPU, on_cpu, stop_all                                     # noqa: E402
from proxies import LOAD_PROGRAM, ROOT, proxies, runs_in                             # noqa: E402
from report import report_markdown, report_text                                      # noqa: E402
from runs import INSTRUCTIONS, RUNS, breakdown, callgrind, trace                     # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


class Bench:
    def __init__(self, options):
        self.options = options
        self.where = tempfile.mkdtemp(prefix="spcd-bench-")
        atexit.register(shutil.rmtree, self.where, True)
        self.load_program = build_load()
        self.proxies = {name: proxy for name, proxy in proxies(options.build).items() if self.wanted(proxy)}
        self.results = collections.defaultdict(lambda: collections.defaultdict(list))
        self.remarks = []
        self.traces, self.breakdowns, self.instructions = {}, {}, {}
        self.descriptors = raise_descriptors(65536)
        self.has_perf = perf_counts()
        if not self.has_perf:
            self.remark("perf cannot count system calls here; only the case 'trace' does, with strace")

    def wanted(self, proxy):
        if proxy.name not in self.options.proxies and not (
                proxy.name == "haproxy-splice" and "haproxy" in self.options.proxies):
            return False
        missing = not shutil.which(proxy.program) or (proxy.name == "spcd" and not os.path.exists(proxy.spcc))
        if missing and proxy.name != "haproxy-splice":
            print(f"bench: {proxy.name} is not here ({proxy.program}); going on without it", file=sys.stderr)
        return not missing

    def remark(self, text):
        if text not in self.remarks:
            self.remarks.append(text)
            print(f"bench: {text}", file=sys.stderr)

    def load(self, *arguments):
        done = subprocess.run([self.load_program, *map(str, arguments)], preexec_fn=on_cpu(LOAD_CPU), timeout=300,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip()[-300:])
        return json.loads(done.stdout.splitlines()[-1])

    def must_not_fail(self, seen, proxy):
        if seen["failed"]:
            self.remark(f"{self.case_name}: {seen['failed']} of {seen['begun']} failed through {proxy.name}")

    def run(self, name):
        case, self.case_name = CASES[name], name
        size = int(case.quick if self.options.quick else case.full)
        order = [proxy for proxy in self.proxies.values() if runs_in(proxy, case)]
        for number in range(self.options.rounds):
            turn = number % max(len(order), 1)
            for proxy in order[turn:] + order[:turn]:
                progress(f"{name}: round {number + 1} of {self.options.rounds}, {proxy.name}")
                try:
                    measured = RUNS[case.kind](self, proxy, case, size)
                except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
                    self.remark(f"{name}: {proxy.name} could not be measured: {error}")
                    continue
                for measure, value in measured.items():
                    self.results[name, measure][proxy.name].append(value)
        progress("")

    def look_inside(self):
        for proxy in self.proxies.values():
            if proxy.name == "haproxy-splice":
                continue
            self.case_name = "trace"
            try:
                self.traces[proxy.name] = trace(self, proxy)
                for name in ("short-client", "short-server", "ping-64"):
                    counts = self.breakdowns[name, proxy.name] = breakdown(self, proxy, CASES[name])
                    self.results[name, "syscalls_busy"][proxy.name].append(sum(counts.values()))
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                self.remark(f"trace: {proxy.name} could not be traced: {error}")

MARK = "<!-- measured -->"


def progress(text):
    if sys.stderr.isatty():
        print(f"\r{text:60}\r", end="", file=sys.stderr, flush=True)


def build_load():
    program = LOAD_PROGRAM
    os.makedirs(os.path.dirname(program), exist_ok=True)
    own = {os.path.join(HERE, name) for name in ("datagrams.c", "datagram_floor.c", "secure.c")}  # programs of their own
    sources = sorted(set(glob.glob(os.path.join(HERE, "*.c"))) - own)
    subprocess.run([*os.environ.get("CC", "gcc").split(), "-std=c17", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program,
                    *sources], check=True)
    return program


def raise_descriptors(wish):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wish, hard), max(wish, hard)))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def perf_counts():
    try:
        return subprocess.run(["perf", "stat", "-e", "raw_syscalls:sys_enter", "true"], capture_output=True,
                              check=False).returncode == 0
    except FileNotFoundError:
        return False


def options_read():
    extra = "trace, callgrind"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog=f"Cases: {', '.join(CASES)}, {extra}. CASE may be a pattern: 'ping-*'.")
    parser.add_argument("--quick", action="store_true", help="small numbers, one round: a look, not a measurement")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="these cases only")
    parser.add_argument("--proxies", default="spcd,nginx,haproxy,floor", type=lambda text: text.split(","))
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="where spcc and spcd are")
    parser.add_argument("--rounds", type=int, help="default 5, with --quick 1")
    parser.add_argument("--markdown", metavar="FILE", help="write the report there too, below the line " + MARK)
    options = parser.parse_args()
    options.rounds = max(1, options.rounds or (1 if options.quick else 5))
    return options


def text_above(path):
    """What people have written in the file, up to the mark; the report replaces what is below."""
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return text[:text.index(MARK)] + MARK + "\n\n" if MARK in text else ""


def main():
    options = options_read()
    known = list(CASES) + ["trace", "callgrind"]
    chosen = [name for name in known if any(fnmatch.fnmatch(name, word) for word in options.only)] if options.only \
        else list(CASES) + ([] if options.quick else ["trace", "callgrind"])
    if not chosen:
        sys.exit(f"bench: no such case; there are {', '.join(known)}")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    atexit.register(stop_all)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -15)     # on a shared machine, fewer strangers between two measurements
    except PermissionError:
        pass
    bench = Bench(options)
    for name in chosen:
        if name in CASES:
            bench.run(name)
    if "trace" in chosen and shutil.which("strace"):
        bench.look_inside()
    if "callgrind" in chosen and shutil.which("valgrind"):
        bench.case_name = "callgrind"
        bench.instructions = {(proxy.name, name): callgrind(bench, proxy, name) for name in INSTRUCTIONS
                              for proxy in bench.proxies.values()
                              if not proxy.floor and proxy.name != "haproxy-splice"}
    report_text(bench)
    if options.markdown:
        above = text_above(options.markdown)
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write(above)
            report_markdown(bench, file)


if __name__ == "__main__":
    main()
