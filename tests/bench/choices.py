#!/usr/bin/env python3
"""What choosing a server costs: instructions in user space, counted by callgrind, in groups of 10, 1,000 and 10,000. Of
spcd, a choice and its end, without traffic (tests/balance/choose.c); of nginx, which has no such door, a whole session less
one of a group of one. Part of make bench; it measures and asserts nothing.

    tests/bench/choices.py [--build DIR] [--markdown FILE]
"""
import glob
import subprocess
import tempfile

import markdown
from lookups import ask
from processes import PROXY_CPU, start, stop
from runs import instructions
from serving import free_ports, wait_until

SIZES, FEW, MANY, CHOICES = (10, 1000, 10000), 20, 120, 2000
METHODS = {  # and whether nginx 1.22 has it
    "": True, "least_conn;": True, "random;": True, "random two least_conn;": True, "hash $remote_addr;": True,
    "hash $remote_addr consistent;": True, "hash $remote_addr consistent bounded=1.25;": False, "maglev $remote_addr;": False,
    "least_time first_byte;": False, "least_time first_byte inflight;": False, "random two least_time=first_byte;": False,
}


def servers(size, port):
    """All of them one, behind as many addresses."""
    return "".join(f"server 127.1.{at >> 8}.{at & 255}:{port} weight={1 + at % 3};\n" for at in range(size))


def place(where, method, size, port, origin, nginx):
    with open(f"{where}/conf", "w", encoding="ascii") as file:
        load = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n" if nginx else ""
        file.write(f"{load}worker_processes 1;\ndaemon off;\nmaster_process off;\npid {where}/pid;\nerror_log {where}/log "
                   f"crit;\nevents {{}}\nstream {{ upstream g {{ {method}\n{servers(size, origin)}}}\n"
                   f"server {{ listen 127.0.0.1:{port}; proxy_pass g; }} }}\n")


def compile_to(build, where):
    subprocess.run([f"{build}/spcc", "-o", f"{where}/blob", f"{where}/conf"], check=True, stderr=subprocess.DEVNULL)


def callgrind(where, line):
    return ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={where}/out.%p", *line]


def total(where):
    return sum(instructions(path) for path in glob.glob(f"{where}/out.*"))


def choices(build, method, size, count):
    with tempfile.TemporaryDirectory() as where:
        place(where, method, size, 1, 1, False)
        compile_to(build, where)
        subprocess.run(callgrind(where, [f"{build}/choose", f"{where}/blob", "g"]), input=f"ask-many {count}\n", text=True,
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return total(where)


def end(process):
    """A signal that comes just before nginx waits for events is seen when the next one comes."""
    for _ in range(20):
        process.terminate()
        try:
            process.wait(3)
            break
        except subprocess.TimeoutExpired:
            continue
    stop(process)


def sessions(method, size, count, origin):
    with tempfile.TemporaryDirectory() as where:
        port = free_ports(1)[0]
        place(where, method, size, port, origin, True)
        process = start(callgrind(where, ["nginx", "-c", f"{where}/conf", "-p", where]), PROXY_CPU,
                        stderr=subprocess.DEVNULL)
        try:
            if not wait_until(lambda: ask(port), 120):
                raise RuntimeError("nginx does not serve")
            for _ in range(count):
                ask(port)
        finally:
            end(process)
        return total(where)


def table(build):
    rows = ["| method | " + " | ".join(f"{size:,}: spcd, nginx" for size in SIZES) + " |", "|---|" + "---|" * len(SIZES)]
    with tempfile.TemporaryDirectory() as where:
        origin = free_ports(1)[0]
        with open(f"{where}/conf", "w", encoding="ascii") as file:
            file.write(f"master_process off;\npid {where}/pid;\nerror_log {where}/log crit;\nevents {{}}\n"
                       f"stream {{ server {{ listen {origin}; return x; }} }}\n")
        compile_to(build, where)
        process = start([f"{build}/spcd", f"{where}/blob"], PROXY_CPU, stderr=subprocess.DEVNULL)
        try:
            def session(method, size):
                return (sessions(method, size, MANY, origin) - sessions(method, size, FEW, origin)) / (MANY - FEW)
            bare = session("", 1)
            for method, has in METHODS.items():
                cells = []
                for size in SIZES:
                    ours = (choices(build, method, size, 2 * CHOICES) - choices(build, method, size, CHOICES)) / CHOICES
                    theirs = f"{session(method, size) - bare:,.0f}" if has else "-"
                    cells.append(f"{ours:,.0f}, {theirs}")
                    print(method, size, cells[-1], flush=True)
                rows.append(f"| {method.strip(';') or 'round robin'} | " + " | ".join(cells) + " |")
        finally:
            stop(process)
    return "\n".join(rows)


if __name__ == "__main__":
    markdown.run("choices", table)
