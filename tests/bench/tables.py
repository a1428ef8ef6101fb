#!/usr/bin/env python3
"""Large tables in nginx and spcd: a geo of a million networks, a map of a million keys, a consistent ring of 10,000 peers.
From fork to the first answer, and the memory that is nobody else's. Part of make bench; it measures and asserts nothing.

    tests/bench/tables.py [--rounds N] [--build DIR] [--markdown FILE]
"""
import contextlib
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time

import markdown
from bench import build_load
from processes import PROXY_CPU, start, stop, tree

PORT, COUNT, PEERS = 20110, 1000 * 1000, 10000
TABLE = "{table}server {{ listen 127.0.0.1:{port}; return $v; }}\n"
RING = "upstream ring {{ hash $remote_addr consistent;\n{table}}}\nserver {{ listen 127.0.0.1:{port}; return ring; }}\n" \
       "server {{ listen 127.0.0.1:{other}; proxy_pass ring; }}\n"


def geo():
    entries = "".join(f"{10 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.{i * 7 & 254}/31 v{i % 50};\n" for i in range(COUNT))
    return TABLE, f"geo $v {{\ndefault none;\n{entries}}}\n"


def keys():
    entries = "".join(f"key{i}.example.com value{i};\n" for i in range(COUNT))
    return TABLE, ("map_hash_max_size 2000000;\nmap_hash_bucket_size 128;\n"
                   f"map $remote_addr $v {{\ndefault none;\n{entries}}}\n")


def ring():
    return RING, "".join(f"server 10.0.{i >> 8}.{i & 255}:{1000 + i % 5000};\n" for i in range(PEERS))


CASES = {"geo of 1,000,000 networks": geo, "map of 1,000,000 keys": keys, "hash consistent of 10,000 peers": ring}


def command(kind, where, text, build, origin):
    """The session that a reload meets goes to origin, by a server of its own."""
    path = f"{where}/{kind}.conf"
    load = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n" if kind == "nginx" else ""
    server, table = text
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{load}worker_processes 1;\ndaemon off;\npid {where}/{kind}.pid;\nerror_log {where}/{kind}.log error;\n"
                   f"events {{}}\nstream {{\n{server.format(table=table, port=PORT, other=PORT + 1)}"
                   f"server {{ listen 127.0.0.1:{PORT + 2}; proxy_pass 127.0.0.1:{origin}; }}\n}}\n")
    if kind == "nginx":
        return ["nginx", "-c", path, "-p", where]
    subprocess.run([f"{build}/spcc", "-o", f"{where}/spcd.spcb", path], check=True, stderr=subprocess.DEVNULL)
    return [f"{build}/spcd", "-e", f"{where}/spcd.log", f"{where}/spcd.spcb"]


def wait_for_answer():
    while True:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", PORT), 60) as one:
            if one.recv(10):
                return
        time.sleep(0.005)


def start_ms(program, line):
    """By the bench's own client, which has the other CPU to itself and asks without a pause."""
    out = subprocess.run([program, "greeted", str(PORT), str(PROXY_CPU), "60", *line], check=True, capture_output=True).stdout
    return json.loads(out)["served_us"] / 1000


def rollup(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in list(file)[1:])}


def workers(root):
    """With what each has touched and shares with nobody, kB."""
    return {pid: rollup(pid)["Private_Dirty"] for pid in tree(root) if pid != root}


def all_kb(root):
    """Anonymous memory of all its processes, each page once."""
    return sum(rollup(pid)["Pss_Anon"] for pid in tree(root))


def wait_for_reload(root, before):
    """Until the work that it is has been over for a second: nginx then has a worker more, spcd has not."""
    deadline, quiet, last = time.monotonic() + 60, time.monotonic(), None
    while time.monotonic() < deadline and time.monotonic() - quiet < 1:
        seen = (all_kb(root), sorted(workers(root)))
        if seen != last:
            quiet, last = time.monotonic(), seen
        time.sleep(0.1)
    return [pid for pid in before if pid in workers(root)]


def memory(line, reload_signal=1):
    """What the worker has for itself; what all have; both again after a reload that a session has outlived."""
    process = start(line, PROXY_CPU, stderr=subprocess.DEVNULL)
    try:
        wait_for_answer()
        time.sleep(0.2)
        before = workers(process.pid)
        seen = {"own": max(before.values()), "all": all_kb(process.pid)}
        with socket.create_connection(("127.0.0.1", PORT + 2), 5) as held:
            held.sendall(b"held")
            time.sleep(0.2)
            process.send_signal(reload_signal)
            old = wait_for_reload(process.pid, before)
            return seen | {"old": max(workers(process.pid)[pid] for pid in old), "both": all_kb(process.pid)}
    finally:
        stop(process)


def measured(make, rounds, build, program, origin):
    with tempfile.TemporaryDirectory() as where:
        lines = {kind: command(kind, where, make(), build, origin) for kind in ("spcd", "nginx")}
        seen = {kind: memory(line) for kind, line in lines.items()}
        starts = {kind: [] for kind in lines}
        for _ in range(rounds):
            for kind, line in lines.items():
                starts[kind].append(start_ms(program, line))
    return {kind: seen[kind] | {"start": statistics.median(starts[kind])} for kind in lines}


def cells(seen, name, form):
    spcd, nginx = seen["spcd"][name], seen["nginx"][name]
    times = nginx / spcd
    return f"{form.format(spcd)} / {form.format(nginx)}, {times:,.{0 if times >= 10 else 1}f} times"


def table(build, rounds):
    rows = ["| table, spcd / nginx | start, ms | a worker's own memory, kB | of all processes, kB | after a reload, "
            "own of the worker with the old session, kB | of all processes, kB |", "|---|---|---|---|---|---|"]
    program = build_load()
    with socket.create_server(("127.0.0.1", 0)) as origin:
        for case, make in CASES.items():
            seen = measured(make, rounds, build, program, origin.getsockname()[1])
            rows.append(f"| {case} | {cells(seen, 'start', '{:.1f}')} | " +
                        " | ".join(cells(seen, name, "{:,}") for name in ("own", "all", "old", "both")) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    markdown.run("tables", table, rounds=5)
