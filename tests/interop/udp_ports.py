"""TFTP, whose server answers from a port of its own for each file. A session's socket is connected to the port that was asked, so that
such an answer meets nobody, with nginx as with spcd; it works with a server that answers from the port that it was asked on."""
import os

STREAM = """    server {{
        listen 127.0.0.1:{front} udp;
        proxy_pass 127.0.0.1:{port};
        proxy_timeout 5s;
    }}"""
SIZE = 100_000


def fetch(world, port):
    """Is it the file that the server has?"""
    target = world.path("fetched")
    world.run("timeout", "2", "tftp", "-m", "binary", "127.0.0.1", str(port), "-c", "get", "file", target)
    try:
        with open(target, "rb") as file:
            return file.read() == world.content
    except OSError:
        return False
    finally:
        if os.path.exists(target):
            os.unlink(target)


def run(world):
    world.content = os.urandom(SIZE)
    os.mkdir(world.path("here"), 0o755)
    with open(world.path("here/file"), "wb") as file:
        file.write(world.content)
    other, same = world.port(), 69  # dnsmasq has no other
    world.start("atftpd", "--daemon", "--no-fork", "--port", str(other), "--bind-address", "127.0.0.1", "--user", "root.root",
                "--logfile", "-", world.path("here"))
    world.start("dnsmasq", "-k", "-C", "/dev/null", "-p", "0", "--enable-tftp", "--tftp-root=" + world.path("here"),
                "--tftp-single-port", "--user=root", "--pid-file=", "--listen-address=127.0.0.1")
    for port, what in ((other, "another"), (same, "the same")):
        world.check(f"tftp, answers from {what} port: without a proxy", world.wait(lambda: fetch(world, port)))
        for kind in ("spcd", "nginx"):
            front = world.port()
            server = world.proxy(STREAM.format(front=front, port=port), kind)
            good = fetch(world, front)
            world.check(f"tftp, answers from {what} port: {kind} passes {'all' if port == same else 'nothing'}", good == (port == same))
            if kind == "spcd":
                counted = world.counted(server)
                world.check(f"tftp, answers from {what} port: one session", counted["accepted"] == 1, counted)
