#!/usr/bin/env python3
"""What a proxy with four workers takes of the machine when it has started and served one connection: processes, memory,
page faults. Part of make bench; it measures and asserts nothing.

    tests/bench/footprint.py [--build DIR] [--markdown FILE]
"""
import os
import sys
import tempfile
import time

import markdown
from processes import LOAD_CPU, PROXY_CPU, start, stop, tree
from proxies import HAPROXY_CONF, HAPROXY_SERVER, NGINX_CONF, NGINX_MODULE, NGINX_SERVER, Haproxy, Nginx, Spcd
from serving import answers, free_ports, wait_until

FOUR = {"worker_processes 1;": "worker_processes 4;", "nbthread 1": "nbthread 4"}


def four(text):
    for one, several in FOUR.items():
        text = text.replace(one, several)
    return text


def proxies(build):
    module = f"load_module {NGINX_MODULE};\n" if NGINX_MODULE else ""
    return [Spcd("spcd", f"{os.path.abspath(build)}/spcd", four(NGINX_CONF), NGINX_SERVER, {"load_module": ""}),
            Nginx("nginx", "nginx", four(NGINX_CONF), NGINX_SERVER, {"load_module": module}),
            Haproxy("haproxy", "haproxy", four(HAPROXY_CONF), HAPROXY_SERVER, {"options": ""})]


def of_process(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        seen = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in list(file)[1:])}
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        faults = int(file.read().rpartition(")")[2].split()[7])
    return {"anonymous": seen["Pss_Anon"], "proportional": seen["Pss"], "resident": seen["Rss"], "faults": faults}


def measure(proxy, servers):
    ports = free_ports(servers + 1)
    with tempfile.TemporaryDirectory() as where:
        proxy.write(where, ports[0], ports[1:])
        proxy.prepare(where)
        origin = start([sys.executable, "-c", ORIGIN, str(ports[0])], LOAD_CPU)
        child = start(proxy.command(where), PROXY_CPU)
        try:
            if not wait_until(lambda: answers(ports[-1]), 20):
                raise RuntimeError(f"{proxy.name} does not serve")
            time.sleep(0.3)
            family = [of_process(pid) for pid in tree(child.pid)]
        finally:
            stop(child)
            stop(origin)
    return {name: sum(one[name] for one in family) for name in family[0]} | {"processes": len(family)}


ORIGIN = """import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        one, _ = server.accept()
        with one:
            one.sendall(one.recv(64))"""


def table(build):
    rows = ["| four workers, one connection served | processes | anonymous memory, kB | proportional (PSS), kB | "
            "resident (RSS, summed), kB | page faults |", "|---|---|---|---|---|---|"]
    for servers in (1, 1000):
        for proxy in proxies(build):
            seen = measure(proxy, servers)
            rows.append(f"| {proxy.name}, {servers:,} server{'s' * (servers > 1)} | {seen['processes']} | " + " | ".join(
                f"{seen[name]:,}" for name in ("anonymous", "proportional", "resident", "faults")) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    markdown.run("footprint", table)
