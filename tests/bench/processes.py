"""Processes: started on their CPU, ended with all their descendants; their time, memory and system calls."""
import collections
import ctypes
import glob
import os
import signal
import subprocess
import time

PROXY_CPU, LOAD_CPU = 0, min(1, os.cpu_count() - 1)


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
        time.sleep(0.25)         # until it is attached

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
