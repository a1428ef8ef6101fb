"""The server under test: nginx or spcd in a folder of its own, started, signalled, reloaded, ended."""
import ctypes
import gzip
import os
import re
import signal
import subprocess
import time

from talk import Failure
from wire import PATIENCE

NGINX = "/usr/sbin/nginx"
STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"
SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:")
PR_SET_PDEATHSIG = 1
GZIP = b"\x1f\x8b"
SETTLE = 0.1  # seconds from the mapping of a blob until the workers have it


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Server:
    def __init__(self, kind, folder, tools):
        self.kind, self.folder, self.tools = kind, folder, tools
        self.process = None
        self.conf, self.blob = folder + "/main.conf", folder + "/main.spcb"
        self.stderr = folder + "/stderr"

    def whole_config(self, main, stream, settings):
        load = f"load_module {STREAM};\n" if self.kind == "nginx" else ""
        user = "user root;\n" if os.geteuid() == 0 else "\n"  # nginx warns of it
        return (
            f"{load}{user}daemon off;\nworker_processes {settings['workers']};\npid {self.folder}/pid;\n"
            f"error_log {self.folder}/error.log {settings['level']};\n{main}\n"
            f"events {{\n    worker_connections {settings['connections']};\n}}\nstream {{\n{stream}\n}}\n"
        )

    def place(self, text):
        """Put a configuration where the server looks for it; for spcd, compiled. False: spcc refuses it."""
        with open(self.conf, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        if self.kind == "nginx":
            return True
        done = subprocess.run(
            [self.tools["spcc"], "-o", self.blob, self.conf], capture_output=True, text=True, timeout=60, check=False
        )
        self.complaint = done.stderr
        if SANITIZER.search(done.stderr):
            raise Failure(f"spcc: {done.stderr}")
        return done.returncode == 0

    def spoil(self):
        """In place of a configuration that spcc refused: a blob that cannot be good, renamed over the other."""
        with open(self.blob + ".bad", "wb") as file:
            file.write(b"this is not a blob\n" * 500)
        os.rename(self.blob + ".bad", self.blob)

    def start(self):
        log = self.folder + "/error.log"
        if self.kind == "nginx":
            command = [NGINX, "-p", self.folder, "-e", log, "-c", self.conf]
        else:
            command = [self.tools["spcd"], "-p", self.folder, "-e", log, self.blob]
        with open(self.stderr, "wb") as stderr:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, preexec_fn=die_with_parent
            )
        if not self.wait(lambda: self.pid_is_written() or self.process.poll() is not None) or self.process.poll():
            raise Failure(f"{self.kind} did not start:\n{self.read('stderr')}{self.read('error.log')}")

    def pid_is_written(self):
        return self.read("pid").strip() == str(self.process.pid)

    def read(self, name):
        try:
            with open(os.path.join(self.folder, name), "rb") as file:
                data = file.read()
        except OSError:
            return ""
        if data.startswith(GZIP):
            data = gzip.decompress(data)
        return data.decode("utf-8", "backslashreplace").replace("\r\n", "\n").replace("\r", "\n")

    def wait(self, condition, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def signal(self, name):
        self.process.send_signal(getattr(signal, "SIG" + name))

    def reload(self, text, in_vain):
        accepted = self.place(text)
        if not accepted and not in_vain:
            raise Failure(f"spcc refuses the new configuration:\n{self.complaint}")
        if not accepted:
            self.spoil()
        if in_vain:
            self.reload_and_wait_for("[emerg]")
        elif self.kind == "nginx":
            self.reload_and_wait_for("gracefully shutting down")  # the old worker: from now on it accepts nobody
        else:
            self.reload_and_wait_for("reconfiguring")
            if not self.wait(self.blob_is_mapped):
                raise Failure("the new blob is not mapped")
            time.sleep(SETTLE)

    def reload_and_wait_for(self, said):
        before = self.read("error.log").count(said)
        self.signal("HUP")
        if not self.wait(lambda: self.read("error.log").count(said) > before):
            raise Failure(f'no "{said}" in the log after HUP')

    def blob_is_mapped(self):
        """Has the serving process mapped the file that now stands at the blob's path?"""
        inode = f" {os.stat(self.blob).st_ino} "
        pid = self.process.pid
        children = self.read(f"/proc/{pid}/task/{pid}/children").split()
        return all(inode in re.sub(r"\s+", " ", self.read(f"/proc/{one}/maps")) for one in children or [pid])

    def end(self):
        """Let it drain; if it cannot, end it fast. Its exit status must be 0 and stderr free of reports."""
        if self.process.poll() is None:
            self.signal("QUIT")
            if not self.wait(lambda: self.process.poll() is not None, 1.5):
                self.signal("TERM")
                self.wait(lambda: self.process.poll() is not None)
        self.kill()
        stderr = self.read("stderr")
        if self.process.returncode or SANITIZER.search(stderr):
            raise Failure(f"{self.kind} exited with {self.process.returncode}:\n{stderr}")

    def kill(self):
        if self.process and self.process.poll() is None:
            pid = self.process.pid
            children = self.read(f"/proc/{pid}/task/{pid}/children").split()
            self.process.kill()
            self.process.wait()
            for child in children:  # nginx's workers outlive their master
                try:
                    os.kill(int(child), signal.SIGKILL)
                except ProcessLookupError:
                    pass
