"""Syslog, which nobody answers: logger to rsyslog, with proxy_responses 0. Every line arrives, once, and every session has ended by
then; with one worker and with two, from one client and from several at once."""
import subprocess

LINES = 1000
CLIENTS = 3
STREAM = """    server {{
        listen 127.0.0.1:{front} udp rcvbuf=4m;
        proxy_pass 127.0.0.1:{port};
        proxy_responses 0;
        proxy_timeout 10m;
    }}"""


def rsyslog(world):
    port = world.port()
    world.write("rsyslog.conf", f"""global(workDirectory="{world.folder}")
module(load="imudp")
input(type="imudp" address="127.0.0.1" port="{port}" rcvbufSize="4m")
template(name="bare" type="string" string="%msg:::drop-last-lf%\\n")
action(type="omfile" file="{world.path("lines")}" template="bare")
""")
    world.start("rsyslogd", "-n", "-f", world.path("rsyslog.conf"), "-i", world.path("rsyslog.pid"))
    logs = lambda: (world.run("logger", "-d", "-n", "127.0.0.1", "-P", str(port), "is there") and "is there" in world.read("lines"))
    if not world.wait(logs):
        raise RuntimeError("rsyslogd does not serve")
    return port


def arrived(world, word):
    return sorted(line.strip() for line in world.read("lines").split("\n") if word in line)


def run(world):
    port = rsyslog(world)
    for workers in (1, 2):
        front = world.port()
        server = world.proxy(STREAM.format(front=front, port=port), workers=workers)
        word = f"workers-{workers}"
        sent = [[f"{word} client {client} line {line:05}" for line in range(LINES)] for client in range(CLIENTS)]
        loggers = [subprocess.Popen(["logger", "-d", "-n", "127.0.0.1", "-P", str(front)], stdin=subprocess.PIPE, text=True)
                   for _ in range(CLIENTS)]
        for logger, lines in zip(loggers, sent):
            logger.communicate("\n".join(lines) + "\n", timeout=15)
        world.wait(lambda: len(arrived(world, word)) >= LINES * CLIENTS)
        world.check(f"syslog, {workers} workers: every line arrives once", arrived(world, word) == sorted(sum(sent, [])),
                    f"{len(arrived(world, word))} of {LINES * CLIENTS}")
        counted = world.counted(server)
        world.check(f"syslog, {workers} workers: every session ended when its line was sent",
                    counted["answered"] == counted["accepted"] and counted["shutdown"] == 0, counted)
        world.check(f"syslog, {workers} workers: the log has a datagram for each line and none back",
                    server.read("error.log").count("udp done, packets from/to client:1/0,") == LINES * CLIENTS, counted)
