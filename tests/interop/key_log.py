"""proxy_ssl_key_log: tshark reads with it what was on the wire, as a stranger without it cannot."""
import os
import signal
import stat
import time

from origins import Authority, Origin, context, speaks
from run import exchange

VERSIONS = ("TLSv1.2", "TLSv1.3")
SECRET = "open sesame"


def capture(world, act):
    """What is on the loopback interface of this namespace meanwhile, as a file."""
    os.chmod(world.folder, 0o777)
    before = world.read("output").count("File: ")
    child = world.start("dumpcap", "-q", "-i", "lo", "-w", world.path("wire.pcapng"))
    world.wait(lambda: world.read("output").count("File: ") > before)
    act()
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    child.wait(10)
    return world.path("wire.pcapng")


def read(world, file, origin, *options):
    """What tshark finds in the second connection, which is spcd's; the first is the client's."""
    status, text = world.run("tshark", "-q", "-r", file, "-d", f"tcp.port=={origin},tls", *options, "-z", "follow,tls,ascii,1")
    return text if status == 0 else f"tshark: exit {status}: {text}"


def run(world):
    ca = Authority(world.folder)
    ca.issue("good", "x.example", "subjectAltName=DNS:x.example\n")
    for version in VERSIONS:
        origin, front = world.port(), world.port()
        Origin(origin, speaks(context(ca, "good")))
        server = world.proxy(f"server {{ listen 127.0.0.1:{front}; proxy_pass 127.0.0.1:{origin}; proxy_ssl on; "
                             f"proxy_ssl_protocols {version}; proxy_ssl_key_log keys.log; }}")
        keys = server.folder + "/keys.log"
        wire = capture(world, lambda port=front: exchange(port, SECRET.encode() + b"\nbye\n"))
        with open(keys, encoding="ascii") as file:
            lines = file.read().splitlines()
        labels = {line.split(" ")[0] for line in lines}
        wanted = {"CLIENT_RANDOM"} if version == "TLSv1.2" else {
            "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"}
        world.check(f"{version}: the lines", wanted <= labels and all(len(line.split(" ")) == 3 for line in lines), lines)
        world.check(f"{version}: for the owner only", stat.S_IMODE(os.stat(keys).st_mode) == 0o600, oct(os.stat(keys).st_mode))
        text = read(world, wire, origin, "-o", f"tls.keylog_file:{keys}")
        world.check(f"{version}: tshark reads it", SECRET in text and SECRET[::-1] in text, text)
        text = read(world, wire, origin)
        world.check(f"{version}: and nothing without the keys", "tshark" not in text and SECRET not in text, text)
