"""One run of one case: each returns its measures. And what one connection is made of."""
import collections
import glob
import json
import os
import re
import resource
import statistics
import subprocess
import tempfile
import time

from cases import CASES
from processes import LOAD_CPU, PROXY_CPU, Cpu, Tool, memory, on_cpu, perf_total, settle, start, stop, strace_counts
from serving import Serving, answers, wait_until

GB = 1e9
FUNCTIONS = 14   # of the dearest, that are listed


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
    """Neither of the floor's two loops is the cheaper always; it may choose."""
    floor_modes = ("gulp",) if bench.options.quick else ("splice", "gulp")
    runs = [run_bulk_once(bench, proxy, case, size, mode) for mode in (floor_modes if proxy.floor else ("",))]
    return min(runs, key=lambda run: run["gb_cpu"])


def run_bulk_once(bench, proxy, case, size, floor_mode):
    with Serving(bench, proxy, case.origin, floor_mode=floor_mode) as serving:
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
    possible = (bench.descriptors - 1024) // 2      # a session costs the proxy two descriptors
    if possible < size:
        bench.remark(f"idle: {possible} sessions, not {size}: no more than {bench.descriptors} descriptors a process")
        size = possible
    with Serving(bench, proxy, case.origin, connections=2 * size + 256) as serving:
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
            if hasattr(proxy, "judge"):
                wall, cpu = judged(proxy.judge(serving.where))
                runs["judge"].append(wall)
                runs["judge_cpu"].append(cpu)
            if hasattr(proxy, "verify"):
                runs["verify"].append(judged(proxy.verify(serving.where))[0])
        return {measure: statistics.median(values) for measure, values in runs.items()}


def run_reload(bench, proxy, case, size):
    """Each reload adds a server, so that it is known to have happened. Meanwhile a short connection begins every
    millisecond, and a round trip on one of 8 connections that live through all of it: enough to catch any pause, and
    little enough that nothing waits for the client's own CPU."""
    seconds = int(size * 0.2 + 2)
    with Serving(bench, proxy, case.origin, reloadable=True, spare=size) as serving:
        serving.launch()
        count = 100000000
        loads = [start([bench.load_program, *map(str, arguments)], LOAD_CPU, text=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE)
                 for arguments in (["short", serving.ports[0], count, 16, seconds, "client", 1],
                                   ["ping", serving.ports[0], count, 8, seconds, 1])]
        time.sleep(0.5)
        took = [reload_once(serving, number, loads[0]) for number in range(1, size + 1)]
        seen = [json.loads(load.stdout.read().splitlines()[-1]) for load in loads]
        for load in loads:
            stop(load)
        took = [each for each in took if each is not None]
        return {"reloads": len(took), "took": statistics.median(took) if took else float("nan"),
                "failed": sum(each["failed"] for each in seen),
                "worst": max(each["worst_us"] for each in seen) / 1e3, "reload_p999": seen[0]["p999_us"] / 1e3}


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


INSTRUCTIONS = {"short-client": (200, 1200), "ping-64": (2000, 12000)}   # units of a short run, and of a long one


def callgrind(bench, proxy, name):
    """Instructions in user space for each unit: two runs of different length, and their difference; in all, and by
    function."""
    counts = [counted(bench, proxy, name, units) for units in INSTRUCTIONS[name]]
    small, large = INSTRUCTIONS[name]
    counts[1][0].subtract(counts[0][0])
    functions = {function: count / (large - small) for function, count in counts[1][0].most_common(FUNCTIONS)}
    return {"all": (counts[1][1] - counts[0][1]) / (large - small), "functions": functions}


def counted(bench, proxy, name, units):
    out = tempfile.mkdtemp(prefix="callgrind-", dir=bench.where)
    os.chmod(bench.where, 0o711)
    os.chmod(out, 0o777)     # nginx's worker is nobody who may write there
    wrapper = ["valgrind", "-q", "--tool=callgrind", "--trace-children=yes", f"--callgrind-out-file={out}/%p"]
    with Serving(bench, proxy, "echo", wrapper=wrapper) as serving:
        serving.launch()
        serving.load(*flow_arguments(serving, CASES[name], units))
        settle()
    functions = collections.Counter()
    for path in glob.glob(f"{out}/*"):
        lines = subprocess.run(["callgrind_annotate", "--threshold=100", path], capture_output=True, text=True,
                               check=False).stdout
        for count, function in re.findall(r"^ *([\d,]+) \([ \d.]+%\)  \S*?:(\w+)", lines, re.MULTILINE):
            functions[function] += int(count.replace(",", ""))
    return functions, sum(instructions(path) for path in glob.glob(f"{out}/*"))


def instructions(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("totals:"))
