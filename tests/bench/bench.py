#!/usr/bin/env python3
"""Run spcd, nginx, HAProxy and the floor in turn on the same work, and print ratios with their spread.

One worker each, pinned to CPU 0; the client and the origin on CPU 1. Everything is on loopback, bounded in count
and in time, and ended by this program. It never asserts a time: it measures and says what it saw.
"""
import argparse
import atexit
import collections
import ctypes
import fnmatch
import glob
import json
import os
import platform
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROXY_CPU, LOAD_CPU = 0, min(1, os.cpu_count() - 1)
GB = 1e9

# ------------------------------------------------------------------ what is run, how much of it, and the bars

Case = collections.namedtuple("Case", "kind origin full quick options", defaults=[{}])

CASES = {
    "short-client": Case("short", "echo", 10000, 2000, {"closes": "client"}),
    "short-server": Case("short", "close", 10000, 2000, {"closes": "server"}),
    "ping-1": Case("ping", "echo", 15000, 3000, {"at_once": 1}),
    "ping-64": Case("ping", "echo", 100000, 20000, {"at_once": 64}),
    "ping-512": Case("ping", "echo", 100000, 20000, {"at_once": 512}),
    "bulk-up-1": Case("bulk", "bulk", 2e9, 2e8, {"at_once": 1, "up": True}),
    "bulk-up-8": Case("bulk", "bulk", 2e9, 2e8, {"at_once": 8, "up": True}),
    "bulk-down-1": Case("bulk", "bulk", 2e9, 2e8, {"at_once": 1, "down": True}),
    "bulk-down-8": Case("bulk", "bulk", 2e9, 2e8, {"at_once": 8, "down": True}),
    "bulk-both-8": Case("bulk", "bulk", 2e9, 2e8, {"at_once": 8, "up": True, "down": True}),
    "idle": Case("idle", "echo", 10000, 1000),
    "start-1": Case("start", "echo", 10, 3, {"servers": 1}),
    "start-1000": Case("start", "echo", 5, 1, {"servers": 1000}),
    "reload": Case("reload", "echo", 20, 5),
}

# Of a measure: its unit, how it is printed, what it is.
MEASURES = {
    "cpu": ("us", "{:.2f}", "CPU of the proxy for each connection or round trip"),
    "syscalls": ("", "{:.2f}", "system calls of the proxy for each connection or round trip, counted under load"),
    "syscalls_busy": ("", "{:.2f}", "the same when strace slows the proxy so that it is the bottleneck"),
    "rate": ("/s", "{:.0f}", "connections or round trips a second (load and proxy on a CPU each)"),
    "p50": ("us", "{:.0f}", "median time of a connection or round trip"),
    "p99": ("us", "{:.0f}", "99th percentile of it"),
    "gb_cpu": ("s/GB", "{:.3f}", "CPU seconds of the proxy for each 10^9 bytes relayed"),
    "gb_rate": ("GB/s", "{:.2f}", "bytes relayed a second"),
    "private": ("B", "{:.0f}", "private memory a session: with the sessions minus without, by their number"),
    "pss": ("B", "{:.0f}", "proportional memory a session, the same way"),
    "whole": ("B", "{:.0f}", "all private memory of the proxy by the number of sessions, start-up included"),
    "accepted": ("ms", "{:.2f}", "from fork to the first connection accepted"),
    "served": ("ms", "{:.2f}", "from fork to the first message there and back"),
    "judge": ("ms", "{:.1f}", "judging the text (spcc -o, nginx -t, haproxy -c), a process of its own"),
    "judge_cpu": ("ms", "{:.1f}", "the CPU of that"),
    "verify": ("ms", "{:.1f}", "spcd -t: verifying the blob and its surroundings, a process of its own"),
    "reloads": ("", "{:.0f}", "reloads that took effect while the load ran"),
    "took": ("ms", "{:.1f}", "from the signal to the new server's first connection, median of the reloads"),
    "failed": ("", "{:.0f}", "connections and round trips that failed during them"),
    "worst": ("ms", "{:.1f}", "worst latency of any connection or round trip during them"),
    "reload_p999": ("ms", "{:.2f}", "99.9th percentile of the connections during them"),
}

# Issue 4: at most LIMIT times what AGAINST needs; "better" is the better of all peers, "number" the number itself.
Bar = collections.namedtuple("Bar", "cases measure against limit")
BARS = [
    Bar("short-*", "cpu", "better", 0.93),
    Bar("short-*", "syscalls", "number", 15),
    Bar("short-*", "syscalls_busy", "number", 15),
    Bar("ping-*", "cpu", "better", 1.0),
    Bar("ping-64", "syscalls", "number", 4.05),
    Bar("ping-64", "syscalls_busy", "number", 4.05),
    Bar("ping-*", "p99", "better", 1.0),
    Bar("bulk-*", "gb_cpu", "nginx", 0.42),
    Bar("bulk-*", "gb_cpu", "haproxy-splice", 0.6),
    Bar("bulk-*", "gb_cpu", "floor", 1.1),
    Bar("idle", "private", "number", 600),
    Bar("start-1", "accepted", "better", 0.5),
    Bar("start-1000", "accepted", "better", 0.2),
    Bar("reload", "failed", "number", 0),
    Bar("reload", "worst", "better", 1.0),
]

# ------------------------------------------------------------------ the proxies

NGINX_CONF = """\
{load_module}worker_processes 1;
error_log {dir}/error.log error;
pid {dir}/pid;
daemon off;
events {{ worker_connections {connections}; }}
stream {{
{servers}}}
"""
NGINX_SERVER = "    server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{origin}; }}\n"
NGINX_MODULE = next(iter(glob.glob("/usr/lib*/nginx/modules/ngx_stream_module.so")), None)

HAPROXY_CONF = """\
global
    nbthread 1
    maxconn {sessions}
    stats socket {dir}/sock level admin expose-fd listeners
defaults
    mode tcp
    timeout connect 60s
    timeout client 10m
    timeout server 10m
{options}{servers}"""
HAPROXY_SERVER = "listen s{port}\n    bind 127.0.0.1:{port}\n    server o 127.0.0.1:{origin}\n"


class Proxy:
    """How one proxy is configured, judged, started and reloaded. `text` is the file that holds its words."""
    reload_signal = signal.SIGHUP
    floor = False

    def __init__(self, name, program, text, server, fill=None):
        self.name, self.program, self.text, self.server, self.fill = name, program, text, server, fill or {}

    def write(self, where, origin, ports, connections=4096):
        servers = "".join(self.server.format(port=port, origin=origin) for port in ports)
        with open(f"{where}/conf", "w", encoding="ascii") as file:
            file.write(self.text.format(dir=where, servers=servers, connections=connections,
                                        sessions=connections // 2, **self.fill))


class Spcd(Proxy):
    spcc = os.path.join(ROOT, "build", "spcc")

    def judge(self, where):
        return [self.spcc, "-o", f"{where}/blob", f"{where}/conf"]

    def prepare(self, where):
        subprocess.run(self.judge(where), check=True, stdout=subprocess.DEVNULL)

    def command(self, where, _reloadable=False):
        return [self.program, "-p", where, "-e", f"{where}/error.log", f"{where}/blob"]

    def verify(self, where):
        return [self.program, "-t", "-p", where, "-e", f"{where}/error.log", f"{where}/blob"]


class Nginx(Proxy):
    def judge(self, where):
        return [*self.command(where), "-t", "-q"]

    def prepare(self, where):
        pass

    def command(self, where, _reloadable=False):
        return [self.program, "-p", where, "-e", f"{where}/error.log", "-c", f"{where}/conf"]


class Haproxy(Proxy):
    reload_signal = signal.SIGUSR2

    def judge(self, where):
        return [self.program, "-c", "-q", "-f", f"{where}/conf"]

    def prepare(self, where):
        pass

    def command(self, where, reloadable=False):
        return [self.program, *(["-W"] if reloadable else []), "-db", "-q", "-f", f"{where}/conf"]


class Floor(Proxy):
    floor = True

    def write(self, where, origin, ports, connections=4096):
        self.ports = [str(ports[0]), str(origin)]

    def prepare(self, where):
        pass

    def command(self, _where, mode="copy"):
        return [self.program, "floor", mode, *self.ports]


def proxies():
    module = f"load_module {NGINX_MODULE};\n" if NGINX_MODULE else ""
    return {proxy.name: proxy for proxy in [
        Spcd("spcd", os.path.join(ROOT, "build", "spcd"), NGINX_CONF, NGINX_SERVER, {"load_module": ""}),
        Nginx("nginx", "nginx", NGINX_CONF, NGINX_SERVER, {"load_module": module}),
        Haproxy("haproxy", "haproxy", HAPROXY_CONF, HAPROXY_SERVER, {"options": ""}),
        Haproxy("haproxy-splice", "haproxy", HAPROXY_CONF, HAPROXY_SERVER, {"options": "    option splice-auto\n"}),
        Floor("floor", os.path.join(ROOT, "build", "bench", "load"), "", ""),
    ]}


def runs_in(proxy, kind):
    """Splicing is HAProxy's answer to bulk only; the floor has no start-up, memory or reload to speak of."""
    if proxy.name == "haproxy-splice":
        return kind == "bulk"
    return kind in ("short", "ping", "bulk", "trace") or not proxy.floor


# ------------------------------------------------------------------ processes, their time and their memory

LIBC = ctypes.CDLL(None)
CHILDREN = []
PR_SET_PDEATHSIG = 1


def on_cpu(cpu):
    """For the child between fork and exec: a group of its own, one CPU, and no life without us."""
    def prepare():
        os.setsid()
        os.sched_setaffinity(0, {cpu})
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    return prepare


def start(command, cpu, **options):
    child = subprocess.Popen(command, preexec_fn=on_cpu(cpu), **options)
    CHILDREN.append(child)
    return child


def stop(child):
    if child.stdin:
        child.stdin.close()
    family = tree(child.pid)
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            pass
    for pid in family:          # ours by descent: whatever outlived its parent
        try:
            if os.getpgid(pid) == child.pid:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    child.wait()
    if child in CHILDREN:
        CHILDREN.remove(child)


def stop_all():
    for child in list(CHILDREN):
        stop(child)


def parents():
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:
                found[int(name)] = int(file.read().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def tree(root):
    """The process and all its descendants."""
    parent_of, family = parents(), [root]
    for pid in family:
        family += [child for child, parent in parent_of.items() if parent == pid]
    return family


def cpu_ns(root):
    """CPU of all threads of the tree; the scheduler keeps it to the nanosecond once a thread sleeps."""
    total = 0
    for path in (path for pid in tree(root) for path in glob.glob(f"/proc/{pid}/task/*/schedstat")):
        with open(path, encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


def memory(root):
    """Private and proportional bytes of the tree."""
    total = collections.Counter()
    for pid in tree(root):
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                name, _, rest = line.partition(":")
                if name in ("Pss", "Private_Clean", "Private_Dirty"):
                    total["pss" if name == "Pss" else "private"] += int(rest.split()[0]) * 1024
    return total


def settle():
    """Until the last connections are closed on every side, and the threads asleep."""
    time.sleep(0.1)


# ------------------------------------------------------------------ one proxy serving, and work for it

NEXT_PORT = [20000]


def free_ports(count):
    """Consecutive ports below the kernel's own range, never used before by this run: no TIME_WAIT is inherited."""
    first = NEXT_PORT[0]
    while first + count < 32000:
        held = []
        try:
            for port in range(first, first + count):
                held.append(socket.socket())
                held[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                held[-1].bind(("127.0.0.1", port))
            NEXT_PORT[0] = first + count if first + count < 30000 else 20000
            return list(range(first, first + count))
        except OSError:
            first += len(held)
        finally:
            for sock in held:
                sock.close()
    raise RuntimeError("no free ports")


def answers(port, message=b"x" * 64):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.sendall(message)
            return message == b"" or sock.recv(len(message)) != b""
    except OSError:
        return False


def wait_until(test, seconds=10):
    stop_at = time.monotonic() + seconds
    while not test():
        if time.monotonic() > stop_at:
            return False
        time.sleep(0.001)
    return True


class Serving:
    """An origin and a proxy before it, for a with statement."""

    def __init__(self, bench, proxy, origin, servers=1, connections=4096, reloadable=False, splice=False, spare=0,
                 wrapper=()):
        self.bench, self.proxy, self.connections, self.wrapper = bench, proxy, connections, list(wrapper)
        self.mode = ("splice" if splice else "copy") if proxy.floor else reloadable
        self.origin_mode, self.servers = origin, servers
        self.ports = free_ports(servers + spare)

    def __enter__(self):
        self.where = tempfile.mkdtemp(prefix=f"{self.proxy.name}-", dir=self.bench.where)
        self.origin = start([self.bench.load_program, "origin", self.origin_mode], LOAD_CPU, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)
        self.origin_port = json.loads(self.origin.stdout.readline())["port"]
        try:
            self.configure(self.servers)
            self.child = self.pid = None
        except BaseException:
            stop(self.origin)
            raise
        return self

    def configure(self, servers):
        self.proxy.write(self.where, self.origin_port, self.ports[:servers], self.connections)
        self.proxy.prepare(self.where)

    def command(self):
        return [*self.wrapper, *self.proxy.command(self.where, self.mode)]

    def launch(self):
        with open(f"{self.where}/output", "w", encoding="ascii") as output:
            self.child = start(self.command(), PROXY_CPU, stdin=subprocess.PIPE, stdout=output, stderr=output)
        self.pid = self.child.pid
        message = b"" if self.origin_mode == "bulk" else b"x" * 64
        if not wait_until(lambda: answers(self.ports[0], message), 30 if self.wrapper else 10):
            raise RuntimeError(f"{self.proxy.name} does not serve: {self.complaint()}")
        settle()
        return self

    def complaint(self):
        text = ""
        for name in ("output", "error.log"):
            if os.path.exists(f"{self.where}/{name}"):
                with open(f"{self.where}/{name}", encoding="utf-8", errors="replace") as file:
                    text += file.read()[-500:]
        return text.strip() or "and says nothing"

    def __exit__(self, *_):
        if self.child:
            stop(self.child)
        stop(self.origin)
        shutil.rmtree(self.where, ignore_errors=True)

    def load(self, *arguments):
        return self.bench.load(*arguments)

    def work(self, arguments, meter):
        """Run a load; the meter is on from when it is ready until all it did is done, and no longer."""
        load = start([self.bench.load_program, *map(str, arguments)], LOAD_CPU, stdin=subprocess.PIPE,
                     stdout=subprocess.PIPE, text=True)
        try:
            load.stdout.readline()
            settle()
            meter.begin(self)
            load.stdin.write("\n")
            load.stdin.flush()
            seen = json.loads(load.stdout.readline())
            settle()
            return seen, meter.end(self)
        finally:
            stop(load)


class Cpu:
    """Nanoseconds of CPU of the proxy."""

    def begin(self, serving):
        self.before = cpu_ns(serving.pid)

    def end(self, serving):
        return cpu_ns(serving.pid) - self.before


class Tool:
    """A program that watches the proxy until it is interrupted; its result is a file of text."""

    def __init__(self, *command):
        self.command = command

    def begin(self, serving):
        self.result = f"{serving.where}/watched"
        pids = [str(pid) for pid in tree(serving.pid)]
        several = [word for pid in pids for word in ("-p", pid)] if self.command[0] == "strace" else \
            ["-p", ",".join(pids)]
        self.child = start([*self.command, "-o", self.result, *several], LOAD_CPU, stderr=subprocess.DEVNULL)
        time.sleep(0.4)

    def end(self, _serving):
        self.child.send_signal(signal.SIGINT)
        self.child.wait(30)
        CHILDREN.remove(self.child)
        with open(self.result, encoding="ascii", errors="replace") as file:
            return file.read().splitlines()


def perf_total(lines):
    return int(next(line.split(",")[0] for line in lines if "raw_syscalls" in line))


def strace_counts(lines):
    """Calls by name, of the table strace -c writes."""
    rows = (line.split() for line in lines)
    return collections.Counter({row[-1]: int(row[3]) for row in rows
                                if len(row) >= 5 and row[-1] != "total" and row[3].isdigit()})


# ------------------------------------------------------------------ one run of one case; each returns measures

def flow_arguments(serving, case, count):
    if case.kind == "short":
        return ["short", serving.ports[0], count, 64, 60, case.options["closes"]]
    return ["ping", serving.ports[0], count, case.options["at_once"], 60]


def run_flow(bench, proxy, case, size):
    """Short connections or ping-pong: first the time, then, in a run of its own, the system calls."""
    with Serving(bench, proxy, case.origin) as serving:
        serving.launch()
        arguments = flow_arguments(serving, case, size)
        serving.load(*flow_arguments(serving, case, size // 10))
        seen, spent_ns = serving.work(arguments, Cpu())
        bench.must_not_fail(seen, proxy)
        done = max(seen["done"], 1)
        result = {"cpu": spent_ns / 1e3 / done, "rate": done / seen["seconds"], "p50": seen["p50_us"],
                  "p99": seen["p99_us"]}
        if bench.has_perf:
            seen, lines = serving.work(arguments, Tool("perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter"))
            result["syscalls"] = perf_total(lines) / max(seen["done"], 1)
        return result


def run_bulk(bench, proxy, case, size):
    with Serving(bench, proxy, case.origin, splice=True) as serving:
        serving.launch()
        at_once = case.options["at_once"]
        ways = [way for way in ("up", "down") if case.options.get(way)]
        each = int(size / at_once / len(ways))

        def arguments(part):
            return ["bulk", serving.ports[0], at_once, *(each // part if way in ways else 0 for way in ("up", "down"))]
        serving.load(*arguments(20))
        seen, spent_ns = serving.work(arguments(1), Cpu())
        bench.must_not_fail(seen, proxy)
        moved = each * len(ways) * max(seen["done"], 1) / GB
        return {"gb_cpu": spent_ns / 1e9 / moved, "gb_rate": moved / seen["seconds"]}


def run_idle(bench, proxy, case, size):
    size = min(size, (bench.descriptors - 1024) // 2)
    with Serving(bench, proxy, case.origin, connections=2 * size + 1024) as serving:
        serving.launch()
        before = memory(serving.pid)
        holder = start([bench.load_program, "hold", str(serving.ports[0]), str(size)], LOAD_CPU,
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        holder.stdout.readline()
        holder.stdin.write("\n")
        holder.stdin.flush()
        seen = json.loads(holder.stdout.readline())
        bench.must_not_fail(seen, proxy)
        time.sleep(1)           # whoever tidies up by a timer may do so
        after = memory(serving.pid)
        stop(holder)
        count = max(seen["done"], 1)
        return {"private": (after["private"] - before["private"]) / count,
                "pss": (after["pss"] - before["pss"]) / count, "whole": after["private"] / count}


def judged(command):
    """Milliseconds of wall clock and of CPU of a process that judges a configuration."""
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, preexec_fn=on_cpu(PROXY_CPU), check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (time.monotonic() - begun) * 1e3, cpu * 1e3


def run_start(bench, proxy, case, size):
    """The last server is asked, so that all of them are there."""
    with Serving(bench, proxy, case.origin, servers=case.options["servers"]) as serving:
        runs = collections.defaultdict(list)
        for _ in range(size):
            seen = serving.load("start", serving.ports[-1], PROXY_CPU, 30, *serving.command())
            runs["accepted"].append(seen["accepted_us"] / 1e3)
            runs["served"].append(seen["served_us"] / 1e3)
            wall, cpu = judged(proxy.judge(serving.where))
            runs["judge"].append(wall)
            runs["judge_cpu"].append(cpu)
            if hasattr(proxy, "verify"):
                runs["verify"].append(judged(proxy.verify(serving.where))[0])
        return {measure: statistics.median(values) for measure, values in runs.items()}


def run_reload(bench, proxy, case, size):
    """Each reload adds a server, so that it is known to have happened; 16 short connections at a time go on, and
    8 connections that live through all of it."""
    seconds = size * 0.2 + 1
    with Serving(bench, proxy, case.origin, reloadable=True, spare=size) as serving:
        serving.launch()
        count = 100000000
        loads = [start([bench.load_program, *map(str, arguments)], LOAD_CPU, text=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) for arguments in (["short", serving.ports[0], count, 16, seconds_whole(seconds), "client"],
                                   ["ping", serving.ports[0], count, 8, seconds_whole(seconds)])]
        time.sleep(0.5)
        took = [reload_once(serving, number, loads[0]) for number in range(1, size + 1)]
        seen = [json.loads(load.stdout.read().splitlines()[-1]) for load in loads]
        for load in loads:
            stop(load)
        took = [each for each in took if each is not None]
        return {"reloads": len(took), "took": statistics.median(took) if took else float("nan"),
                "failed": sum(each["failed"] for each in seen),
                "worst": max(each["worst_us"] for each in seen) / 1e3, "reload_p999": seen[0]["p999_us"] / 1e3}


def seconds_whole(seconds):
    return int(seconds + 0.999)


def reload_once(serving, number, load):
    """Milliseconds until the server that the new configuration adds answers; None if it never did under load."""
    serving.configure(number + 1)
    begun = time.monotonic()
    os.kill(serving.pid, serving.proxy.reload_signal)
    there = wait_until(lambda: answers(serving.ports[number]), 3)
    took = (time.monotonic() - begun) * 1e3
    time.sleep(max(0, begun + 0.15 - time.monotonic()))
    return took if there and load.poll() is None else None


RUNS = {"short": run_flow, "ping": run_flow, "bulk": run_bulk, "idle": run_idle, "start": run_start,
        "reload": run_reload}


# ------------------------------------------------------------------ what one connection is made of

def strip(line):
    """A line of strace without the thread's number; thread numbers say nothing to a reader."""
    return line.partition(" ")[2].strip()


def trace(bench, proxy):
    """Every system call of one short connection on an idle proxy, in order."""
    with Serving(bench, proxy, "echo") as serving:
        serving.launch()
        serving.load("short", serving.ports[0], 50, 1, 10, "client")
        settle()
        _, lines = serving.work(["short", serving.ports[0], 1, 1, 10, "client"],
                                Tool("strace", "-f", "-s", "16", "-e", "signal=none"))
    noise = ("detached", "restart_syscall", "strace:")
    return [strip(line) for line in lines if not any(word in line for word in noise)]


def breakdown(bench, proxy, case):
    """System calls by name for each unit when the proxy is the slowest of all, as it is under strace: the difference
    of a long and a short run, so that neither start nor end is in it."""
    small, large = 1000, 6000
    with Serving(bench, proxy, case.origin) as serving:
        serving.launch()
        serving.load(*flow_arguments(serving, case, 100))
        counts = [strace_counts(serving.work(flow_arguments(serving, case, size), Tool("strace", "-f", "-c"))[1])
                  for size in (small, large)]
    counts[1].subtract(counts[0])
    return {call: count / (large - small) for call, count in counts[1].most_common() if count > 0}


def callgrind(bench, proxy):
    """Instructions in user space for each unit: two runs of different length, and their difference."""
    result = {}
    for name, small, large in (("short-client", 200, 1200), ("ping-64", 2000, 12000)):
        totals = []
        for count in (small, large):
            out = tempfile.mkdtemp(prefix="callgrind-", dir=bench.where)
            wrapper = ["valgrind", "-q", "--tool=callgrind", "--trace-children=yes",
                       f"--callgrind-out-file={out}/%p"]
            with Serving(bench, proxy, "echo", wrapper=wrapper) as serving:
                serving.launch()
                serving.load(*flow_arguments(serving, CASES[name], count))
                settle()
            totals.append(sum(instructions(path) for path in glob.glob(f"{out}/*")))
        result[name] = (totals[1] - totals[0]) / (large - small)
    return result


def instructions(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("totals:", "summary:"))) // 2


# ------------------------------------------------------------------ all of it, in turn

class Bench:
    def __init__(self, options):
        self.options = options
        self.where = tempfile.mkdtemp(prefix="spcd-bench-")
        atexit.register(shutil.rmtree, self.where, True)
        self.load_program = build_load()
        self.proxies = {name: proxy for name, proxy in proxies().items() if self.wanted(proxy)}
        self.results = collections.defaultdict(lambda: collections.defaultdict(list))
        self.remarks = []
        self.traces, self.breakdowns, self.instructions = {}, {}, {}
        self.descriptors = raise_descriptors(65536)
        self.has_perf = perf_counts()
        if not self.has_perf:
            self.remark("perf cannot count system calls here; only the case 'trace' does, with strace, which slows what it counts")

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
        order = [proxy for proxy in self.proxies.values() if runs_in(proxy, case.kind)]
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
            if not runs_in(proxy, "trace"):
                continue
            self.case_name = "trace"
            try:
                self.traces[proxy.name] = trace(self, proxy)
                for name in ("short-client", "short-server", "ping-64"):
                    counts = self.breakdowns[name, proxy.name] = breakdown(self, proxy, CASES[name])
                    self.results[name, "syscalls_busy"][proxy.name].append(sum(counts.values()))
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                self.remark(f"trace: {proxy.name} could not be traced: {error}")


def progress(text):
    if sys.stderr.isatty():
        print(f"\r{text:60}\r", end="", file=sys.stderr, flush=True)


def build_load():
    program = os.path.join(ROOT, "build", "bench", "load")
    os.makedirs(os.path.dirname(program), exist_ok=True)
    sources = sorted(glob.glob(os.path.join(HERE, "*.c")))
    subprocess.run([os.environ.get("CC", "gcc"), "-std=c17", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program,
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


# ------------------------------------------------------------------ the report

PEERS = ("nginx", "haproxy", "haproxy-splice")
MORE_IS_BETTER = ("rate", "gb_rate", "reloads")


def spread(values, form):
    middle = form.format(statistics.median(values))
    low, high = form.format(min(values)), form.format(max(values))
    return middle if low == high else f"{middle} ({low}–{high})"


def better_peer(row, measure):
    best = max if measure in MORE_IS_BETTER else min
    return best((name for name in PEERS if row.get(name)), key=lambda name: statistics.median(row[name]), default=None)


def ratio(row, one, other):
    """One run against the other's run of the same round, so that a slow minute of the machine cancels out."""
    if not row.get(one) or not row.get(other):
        return None
    pairs = [(a, b) for a, b in zip(row[one], row[other]) if b]
    return [a / b for a, b in pairs] or None


def shown(values):
    return spread(values, "{:.2f}") if values else ""


def measured_table(bench):
    names = list(bench.proxies)
    rows = [["case", "measure", "unit", *names]]
    for (case, measure), row in bench.results.items():
        unit, form, _ = MEASURES[measure]
        rows.append([case, measure, unit, *(spread(row[name], form) if row.get(name) else "" for name in names)])
    return rows


def ratio_table(bench):
    one = "spcd" if "spcd" in bench.proxies else "floor"
    rows = [["case", "measure", *(f"{one}/{peer}" for peer in PEERS), f"{one}/better peer",
             *(["spcd/floor", "floor/better peer"] if one == "spcd" else [])]]
    for (case, measure), row in bench.results.items():
        if not row.get(one):
            continue
        best = better_peer(row, measure)
        rows.append([case, measure, *(shown(ratio(row, one, peer)) for peer in PEERS), shown(ratio(row, one, best)),
                     shown(ratio(row, "spcd", "floor")), shown(ratio(row, "floor", best))][:len(rows[0])])
    return rows


def bar_table(bench):
    one = "spcd" if "spcd" in bench.proxies else "floor"
    rows = [["case", "measure", "bar", one, "spread", "verdict"]]
    for bar in BARS:
        for (case, measure), row in bench.results.items():
            if measure != bar.measure or not fnmatch.fnmatch(case, bar.cases) or not row.get(one):
                continue
            other = better_peer(row, measure) if bar.against == "better" else bar.against
            values = row[one] if bar.against == "number" else ratio(row, one, other)
            if not values or (one == "floor" and other == "floor"):
                continue
            middle = statistics.median(values)
            what = {"number": "", "better": f" of the better peer ({other})"}.get(bar.against, f" of {other}")
            rows.append([case, measure, f"at most {bar.limit:g}{what}", f"{middle:.2f}",
                         f"{min(values):.2f}–{max(values):.2f}", "pass" if middle <= bar.limit else "MISS"])
    return rows


def plain(rows):
    if len(rows) < 2:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def markdown(rows):
    if len(rows) < 2:
        return "none\n"
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"


def first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).strip().splitlines()[0]
    except (FileNotFoundError, IndexError):
        return ""


def machine(bench):
    with open("/proc/cpuinfo", encoding="ascii") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown")
    load_average = "{:.1f} {:.1f} {:.1f}".format(*os.getloadavg())
    versions = [first_line(command) for command in (["nginx", "-v"], ["haproxy", "-v"], ["gcc", "--version"])]
    spcd = os.path.join(ROOT, "build", "spcd")
    commit = first_line(["git", "-C", ROOT, "describe", "--always", "--dirty"])
    if os.path.exists(spcd):
        versions.append(f"spcd {commit}")
    return [f"{os.cpu_count()} × {model}, Linux {platform.release()}, load average at the end {load_average}",
            "; ".join(filter(None, versions)),
            f"{time.strftime('%Y-%m-%d')}, {bench.options.rounds} rounds" + (", --quick" if bench.options.quick else "")]


METHOD = """\
Each case is run in rounds; in each round every proxy has its turn, a fresh process on ports never used before, and the
order rotates. One worker each (`worker_processes 1`, `nbthread 1`), pinned to one CPU; client and origin share another.
A cell is the median of the rounds with the least and the greatest; a ratio is the median of the ratios of the same
round. CPU is what the scheduler accounts to all threads and processes of the proxy (`schedstat`, nanoseconds), with the
kernel's work on its behalf. System calls are counted by a tracepoint in a run of their own. `haproxy-splice` is HAProxy
with `option splice-auto`; `floor` is the barest loop of system calls that does the same work (`tests/bench/floor.c`).
Latencies are those the client saw, all of them in a closed loop; the 99th percentile contains the same client and
origin for each proxy, so that the one with the lesser adds the less.
"""


def report_text(bench):
    for title, table in (("measured", measured_table), ("ratios", ratio_table), ("bars of issue 4", bar_table)):
        text = plain(table(bench))
        if text:
            print(f"--- {title} ---\n{text}\n")
    for (case, name), counts in bench.breakdowns.items():
        print(f"--- {case} under strace, {name}: " + ", ".join(f"{call} {count:.2f}" for call, count in counts.items()))
    for name, lines in bench.traces.items():
        print(f"\n--- one short connection on an idle {name}, in order ---\n" + "\n".join(lines))
    for name, count in bench.instructions.items():
        print(f"--- instructions in user space, spcd, {name}: {count:.0f}")
    for line in machine(bench) + bench.remarks:
        print(line)


def report_markdown(bench, file):
    put = lambda *lines: print(*lines, sep="\n", file=file)
    put(*(f"- {line}" for line in machine(bench)), "", METHOD)
    put("## Bars", "", markdown(bar_table(bench)), "## Ratios", "", markdown(ratio_table(bench)))
    put("## Measured", "", markdown(measured_table(bench)))
    used = {measure for _, measure in bench.results}
    put(*(f"- **{name}**: {what}" for name, (_, _, what) in MEASURES.items() if name in used), "")
    if bench.instructions:
        put("## Instructions in user space (callgrind)", "",
            *(f"- {name}: {count:.0f}" for name, count in bench.instructions.items()), "")
    if bench.breakdowns:
        put("## System calls by name, for each connection or round trip, under strace", "")
        put(*(f"- {case}, {name}: " + ", ".join(f"`{call}` {count:.2f}" for call, count in counts.items())
              for (case, name), counts in bench.breakdowns.items()), "")
    for name, lines in bench.traces.items():
        put(f"## One short connection on an idle {name}, call by call", "", "```", *lines, "```", "")
    if bench.remarks:
        put("## Remarks", "", *(f"- {remark}" for remark in bench.remarks), "")


def options_read():
    extra = "trace, callgrind"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog=f"Cases: {', '.join(CASES)}, {extra}. CASE may be a pattern such as 'ping-*'.")
    parser.add_argument("--quick", action="store_true", help="small numbers, one round: a look, not a measurement")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="these cases only; callgrind runs only when named")
    parser.add_argument("--proxies", default="spcd,nginx,haproxy,floor", type=lambda text: text.split(","))
    parser.add_argument("--rounds", type=int, help="default 5, with --quick 1")
    parser.add_argument("--markdown", metavar="FILE", help="write the report there too")
    options = parser.parse_args()
    options.rounds = max(1, options.rounds or (1 if options.quick else 5))
    return options


def main():
    options = options_read()
    known = list(CASES) + ["trace", "callgrind"]
    chosen = [name for name in known if any(fnmatch.fnmatch(name, word) for word in options.only)] if options.only \
        else list(CASES) + ([] if options.quick else ["trace"])
    if not chosen:
        sys.exit(f"bench: no such case; there are {', '.join(known)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
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
    if "callgrind" in chosen and "spcd" in bench.proxies and shutil.which("valgrind"):
        bench.case_name = "callgrind"
        bench.instructions = callgrind(bench, bench.proxies["spcd"])
    report_text(bench)
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as file:
            report_markdown(bench, file)


if __name__ == "__main__":
    main()
