#!/usr/bin/env python3
"""What a look-up costs: instructions in user space, counted by callgrind, of a session whose value comes from a table
of 100,000 entries, less those of the same session without: of a map, with what is looked up; of a geo, with text. Part
of make bench; it measures and asserts nothing.

    tests/bench/lookups.py [--build DIR] [--markdown FILE]
"""
import glob
import socket
import subprocess
import tempfile

import markdown
from processes import PROXY_CPU, start, stop
from runs import instructions
from serving import free_ports, wait_until

COUNT, FEW, MANY = 100 * 1000, 100, 600


def geo(more):
    return f"geo $v {{\ndefault none;\n{more}" + "".join(
        f"{10 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.{i * 7 & 254}/31 v{i % 50};\n" for i in range(COUNT)) + "}\n"


def keys(more):
    return ("map_hash_max_size 200000;\nmap_hash_bucket_size 128;\nmap $remote_addr $v {\ndefault none;\n" + more +
            "".join(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255} value{i};\n" for i in range(COUNT)) + "}\n")


CASES = {  # what the session's value is computed with, and without
    "map, a key that is there": (keys("127.0.0.1 here;\n"), "$v", "$remote_addr"),
    "map, the default": (keys(""), "$v", "$remote_addr"),
    "geo, a network that is there": (geo("127.0.0.0/24 here;\n"), "$v", "text"),
    "geo, the default": (geo(""), "$v", "text"),
}


def ask(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as one:
            return one.recv(64)
    except OSError:
        return b""


def command(kind, where, table, value, port, build):
    load = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n" if kind == "nginx" else ""
    with open(f"{where}/conf", "w", encoding="ascii") as file:
        file.write(f"{load}worker_processes 1;\ndaemon off;\nmaster_process off;\npid {where}/pid;\n"
                   f"error_log {where}/log error;\nevents {{}}\nstream {{\n{table}"
                   f"server {{ listen 127.0.0.1:{port}; return {value}; }}\n}}\n")
    if kind == "nginx":
        return ["nginx", "-c", f"{where}/conf", "-p", where]
    subprocess.run([f"{build}/spcc", "-o", f"{where}/blob", f"{where}/conf"], check=True, stderr=subprocess.DEVNULL)
    return [f"{build}/spcd", f"{where}/blob"]


def total(kind, build, text, value, sessions):
    with tempfile.TemporaryDirectory() as where:
        port = free_ports(1)[0]
        line = command(kind, where, text, value, port, build)
        process = start(["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={where}/out.%p", *line], PROXY_CPU,
                        stderr=subprocess.DEVNULL)
        try:
            if not wait_until(lambda: ask(port), 120):
                raise RuntimeError(f"{kind} does not serve")
            for _ in range(sessions):
                ask(port)
        finally:
            process.terminate()
            process.wait(60)
            stop(process)
        return sum(instructions(path) for path in glob.glob(f"{where}/out.*"))


def session(kind, build, text, value):
    return (total(kind, build, text, value, MANY) - total(kind, build, text, value, FEW)) / (MANY - FEW)


def table(build):
    rows = ["| look-up | spcd: instructions | nginx: instructions | ratio |", "|---|---|---|---|"]
    bare = {(kind, value): session(kind, build, "", value)
            for kind in ("spcd", "nginx") for value in ("$remote_addr", "text")}
    for case, (text, value, without) in CASES.items():
        cost = {kind: session(kind, build, text, value) - bare[kind, without] for kind in ("spcd", "nginx")}
        rows.append(f"| {case} | {cost['spcd']:.0f} | {cost['nginx']:.0f} | {cost['spcd'] / cost['nginx']:.2f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    markdown.run("lookups", table)
