#!/usr/bin/python3
"""Programs of Debian's, as they are, through spcd: every module beside this one, or those that are named. Last line: "N passed, N
failed". Run by `make interop`, which installs them.

A module has run(world), which starts what it needs and calls world.check() for each thing that must be so. All of it is in a network
namespace of its own, so that ports are free and captures see nobody else.
"""
import collections
import glob
import importlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, ROOT + "/tests/engine", ROOT + "/tests/tls"]
sys.dont_write_bytecode = True

from server import Server, die_with_parent  # noqa: E402

ALONE = "SPC_INTEROP_ALONE"
PATIENCE = 15  # seconds that anything here may take


class World:
    next_port = 20000  # no port twice, whichever module it was for

    def __init__(self, folder):
        self.folder, self.passed, self.failed = folder, 0, 0
        self.children, self.servers = [], []
        build = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
        self.tools = {name: f"{build}/{name}" for name in ("spcc", "spcd")}

    def check(self, name, good, detail=""):
        self.passed += bool(good)
        self.failed += not good
        print(f"{'ok' if good else 'FAILED'} {name}{'' if good else f': {detail}'}", flush=True)

    def port(self, count=1):
        World.next_port += count
        return World.next_port - count

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def start(self, *command, ready=(), **options):
        """A program until the end of the module; ready: the ports it has to serve first."""
        with open(self.path("output"), "ab") as output:
            child = subprocess.Popen(command, cwd=self.folder, stdout=output, stderr=output, preexec_fn=die_with_parent,
                                     **{"stdin": subprocess.DEVNULL, **options})
        self.children.append(child)
        for port in ready:
            if not self.wait(lambda: serves(port)):
                raise RuntimeError(f"{command[0]} does not serve: {self.read('output')[-2000:]}")
        return child

    def proxy(self, stream, kind="spcd", main="", workers=1, connections=1024):
        """spcd, or nginx, with this in its stream block; in a folder of its own, where it finds the files of this one."""
        folder = tempfile.mkdtemp(prefix=kind + "-", dir=self.folder)
        for name in glob.glob(self.folder + "/*.pem") + glob.glob(self.folder + "/*.key"):
            os.symlink(name, os.path.join(folder, os.path.basename(name)))
        server = Server(kind, folder, self.tools)
        settings = {"workers": str(workers), "connections": str(connections), "level": "info"}
        server.words = lambda text: server.whole_config(main, text, settings)
        text = server.words(stream)
        if not server.place(text):
            raise RuntimeError(f"{kind} refuses it: {server.complaint}")
        server.start()
        self.servers.append(server)
        return server

    def counted(self, server):
        """The end of spcd, and what its last lines counted: a number for a name, 0 for what they do not name."""
        server.signal("TERM")
        if not self.wait(lambda: server.process.poll() is not None):
            raise RuntimeError("spcd does not end")
        last = re.findall(r"(?:counted|sessions ended): (.*)", server.read("error.log"))
        return collections.Counter({name: int(count) for name, count in re.findall(r"(\w+) (\d+)", ", ".join(last))})

    def wait(self, condition, seconds=PATIENCE):
        until = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return True

    def read(self, name):
        try:
            with open(self.path(name), encoding="utf-8", errors="backslashreplace") as file:
                return file.read()
        except OSError:
            return ""

    def run(self, *command, text=None):
        """A client; its exit status and what it printed."""
        try:
            done = subprocess.run(command, cwd=self.folder, input=text, capture_output=True, text=True, check=False,
                                  timeout=PATIENCE, errors="backslashreplace")
        except subprocess.TimeoutExpired:
            return -1, "it took too long"
        return done.returncode, done.stdout + done.stderr

    def close(self):
        for child in self.children:
            child.terminate()
        for child in self.children:
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for server in self.servers:
            server.end()


def serves(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def exchange(port, request, seconds=PATIENCE):
    """All that comes back until the other side ends it."""
    got = b""
    try:
        with socket.create_connection(("127.0.0.1", port), seconds) as client:
            client.sendall(request)
            while data := client.recv(65536):
                got += data
    except OSError:
        pass
    return got.decode(errors="backslashreplace")


def play(name, passed, failed):
    """One module, in a folder of its own."""
    print(f"-- {name}", flush=True)
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        os.chmod(folder, 0o755)
        world = World(folder)
        try:
            importlib.import_module(name).run(world)
        except Exception:  # whatever it is, the others are to be played
            world.check(name, False, traceback.format_exc())
        try:
            world.close()
        except Exception:
            world.check(name + " ends well", False, traceback.format_exc())
    return passed + world.passed, failed + world.failed


def main():
    if ALONE not in os.environ:
        os.environ[ALONE] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, os.path.abspath(__file__), *sys.argv[1:]])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    known = sorted(os.path.basename(path)[:-3] for path in glob.glob(HERE + "/*.py"))
    known.remove("run")
    passed = failed = 0
    for name in sys.argv[1:] or known:
        passed, failed = play(name, passed, failed)
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.modules["run"] = sys.modules["__main__"]
    sys.exit(main())
