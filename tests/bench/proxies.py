"""How each proxy is configured, judged, started and reloaded."""
import glob
import os
import signal
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOAD_PROGRAM = os.path.join(ROOT, "build", "bench", "load")


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
    @property
    def spcc(self):
        return os.path.join(os.path.dirname(self.program), "spcc")

    def judge(self, where):
        return [self.spcc, "-o", f"{where}/blob", f"{where}/conf"]

    def prepare(self, where):
        done = subprocess.run(self.judge(where), check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"spcc: {done.stderr.strip()[:300]}")

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
        return [self.program, *(["-W"] if reloadable else []), "-db", "-f", f"{where}/conf"]


class Floor(Proxy):
    floor = True

    def write(self, where, origin, ports, connections=4096):
        self.ports = [str(ports[0]), str(origin), str(len(ports))]

    def prepare(self, where):
        pass

    def command(self, _where, mode="copy"):
        return [self.program, "floor", mode, *self.ports]


def proxies(build):
    module = f"load_module {NGINX_MODULE};\n" if NGINX_MODULE else ""
    return {proxy.name: proxy for proxy in [
        Spcd("spcd", os.path.join(os.path.abspath(build), "spcd"), NGINX_CONF, NGINX_SERVER, {"load_module": ""}),
        Nginx("nginx", "nginx", NGINX_CONF, NGINX_SERVER, {"load_module": module}),
        Haproxy("haproxy", "haproxy", HAPROXY_CONF, HAPROXY_SERVER, {"options": ""}),
        Haproxy("haproxy-splice", "haproxy", HAPROXY_CONF, HAPROXY_SERVER, {"options": "    option splice-auto\n"}),
        Floor("floor", LOAD_PROGRAM, "", ""),
    ]}


def runs_in(proxy, case):
    """Splicing is HAProxy's answer to bulk only; the floor has no memory and no reload to speak of."""
    if proxy.name == "haproxy-splice":
        return case.kind == "bulk"
    return not proxy.floor or case.kind in ("short", "ping", "bulk", "start")
