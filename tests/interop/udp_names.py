"""DNS: dnsperf to a name server, knot, at full speed and at half of it, with one worker and with two. Every query is answered, and what
spcd logs and counts is what dnsperf counts, to the byte."""
import re

NAMES = 4000
QUERY = 12 + 17 + 4  # bytes: header, "n0000.x.example", its type and class
ANSWER = QUERY + 16  # and one address
WAITING = 100           # queries on their way at any time; 100 small datagrams fit into every buffer they cross
SECONDS = 1.5
LOST = ("datagrams_overflow", "answers_overflow", "datagrams_lost", "late_answers", "refused", "unanswered")
STREAM = """    server {{
        listen 127.0.0.1:{front} udp;
        proxy_pass 127.0.0.1:{port};
        proxy_responses 1;
        proxy_timeout 5s;
    }}"""


def knot(world):
    port = world.port()
    world.write("x.example.zone", "$TTL 60\n@ SOA a b 1 60 60 60 60\n@ NS a.other.\n" +
                "".join(f"n{i:04} A 127.1.{i >> 8}.{i & 255}\n" for i in range(NAMES)))
    world.write("knot.conf", f"""server:
    listen: 127.0.0.1@{port}
    rundir: {world.folder}
    pidfile: knot.pid
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: {world.folder}
zone:
  - domain: x.example
    file: {world.path("x.example.zone")}
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: none
""")
    world.start("knotd", "-c", world.path("knot.conf"), ready=(port,))
    return port


def ask(world, port, *how):
    """What dnsperf saw: (sent, answered without error, lost, queries a second)."""
    done = world.run("dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", world.path("queries"), "-t", "5", "-q", str(WAITING),
                     *how)[1]
    number = lambda name: float((re.search(rf"{name}: *([\d.]+)", done) or [0, "nan"])[1])
    good = int((re.search(r"NOERROR (\d+) \(100.00%\)", done) or [0, "0"])[1])
    return number("Queries sent"), good, number("Queries lost"), number("Queries per second")


def agree(world, workers, server, asked):
    """The log's line at the end of each session, and the last lines: each query once there and its answer once back."""
    counted = world.counted(server)
    lines = re.findall(r"udp done, packets from/to client:(\d+)/(\d+), bytes from/to client:(\d+)/(\d+), "
                       r"bytes from/to upstream:(\d+)/(\d+)", server.read("error.log"))
    sums = [sum(int(line[i]) for line in lines) for i in range(6)]
    name = f"dns, {workers} workers:"
    there, back = QUERY * asked, ANSWER * asked
    world.check(f"{name} the log has each query and answer", sums == [asked, asked, there, back, back, there], f"{asked} {sums}")
    world.check(f"{name} all sessions ended answered", counted["answered"] == counted["accepted"] == len(lines) > 0,
                f"{len(lines)} {counted}")
    world.check(f"{name} so many bytes are counted", (counted["client_bytes"], counted["upstream_bytes"]) == (there, back),
                f"{asked} {counted}")
    lost = {one: counted[one] for one in LOST if counted[one]}
    world.check(f"{name} nothing is counted as lost", not lost, lost)


def run(world):
    port = knot(world)
    world.write("queries", "".join(f"n{i:04}.x.example A\n" for i in range(NAMES)))
    for workers in (1, 2):
        front = world.port()
        server = world.proxy(STREAM.format(front=front, port=port), workers=workers)
        sent, good, lost, rate = ask(world, front, "-c", "20", "-l", str(SECONDS))
        world.check(f"dns, {workers} workers, full speed: every query is answered", sent == good > NAMES and lost == 0,
                    f"{sent} {good} {lost}")
        half = ask(world, front, "-c", "20", "-l", str(SECONDS), "-Q", str(int(rate / 2)))
        world.check(f"dns, {workers} workers, half of it: every query is answered", half[0] == half[1] > 0 and half[2] == 0, half)
        agree(world, workers, server, int(sent + half[0]))
