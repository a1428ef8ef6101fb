#!/usr/bin/python3
"""The processes of spcd: what a supervisor does when its server dies, daemons, privileges, signals without a supervisor,
and -t. Last line: "N passed, N failed"."""
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [ROOT + "/tests/engine", ROOT + "/tests/soak"]
sys.dont_write_bytecode = True

from peers import Origin, echoes  # noqa: E402
from server import Server, die_with_parent  # noqa: E402
from tally import Tally  # noqa: E402
from wire import Ports  # noqa: E402

BUILD = os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"))
SPCC, SPCD = BUILD + "/spcc", BUILD + "/spcd"


def make(folder, port, origin, main="", server="", where=None):
    """A server in a folder, with one proxy to origin; where: what it listens to."""
    made = Server("spcd", folder, {"spcc": SPCC, "spcd": SPCD})
    text = made.whole_config(main, f"server {{ listen {where or f'127.0.0.1:{port}'}; proxy_pass 127.0.0.1:{origin.port}; {server} }}",
                             {"workers": "2", "connections": "64", "level": "notice"})
    if "user " in main:
        text = text.replace("user root;\n", "")
    if "daemon " in main:
        text = text.replace("daemon off;\n", "")
    assert made.place(text), made.complaint
    return made


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(one) for one in file.read().split()]


def server_of(server):
    """The process that serves; the pid file is written before it is started."""
    server.wait(lambda: children(server.process.pid))
    return children(server.process.pid)[0]


def status_of(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return re.search(rf"^{field}:\s+(.*)", file.read(), re.MULTILINE).group(1)


def gone(pid):
    return not os.path.exists(f"/proc/{pid}") or status_of(pid, "State").startswith("Z")


# ---- with a supervisor ----

def killed(folder, port, origin):
    """A server that is killed is started again, with the same sockets."""
    server = make(folder, port, origin)
    server.start()
    first = server_of(server)
    yield echoes(port), "it serves"
    os.kill(first, signal.SIGKILL)
    yield server.wait(lambda: children(server.process.pid) not in ([], [first])), "another server is started"
    yield server.wait(lambda: echoes(port)), "which serves"
    second = server_of(server)
    os.kill(second, signal.SIGABRT)
    yield server.wait(lambda: children(server.process.pid) not in ([], [second]) and echoes(port)), "and once more"
    said = server.read("error.log")
    yield f"server process {first} exited on signal 9" in said, "the log says which signal"
    yield f"server process {second} exited on signal 6" in said, "and the other one"
    server.signal("HUP")
    yield server.wait(lambda: "reconfiguring" in server.read("error.log")) and echoes(port), "it can be reloaded"
    server.end()
    yield not os.path.exists(folder + "/pid"), "the pid file is removed"


def alone(folder, port, origin):
    """A server whose supervisor is killed drains, and leaves nobody behind."""
    server = make(folder, port, origin)
    server.start()
    child = server_of(server)
    with socket.create_connection(("127.0.0.1", port)) as lasting:
        lasting.sendall(b"a")
        yield lasting.recv(1) == b"a", "a session"
        server.process.kill()
        server.process.wait()
        yield server.wait(lambda: "the supervisor is gone" in server.read("error.log")), "the server notices"
        lasting.sendall(b"b")
        yield lasting.recv(1) == b"b", "who is there goes on"
    yield server.wait(lambda: gone(child)), "then it ends"
    server.start()
    child = server_of(server)
    with socket.create_connection(("127.0.0.1", port)) as lasting:
        lasting.sendall(b"a")
        yield lasting.recv(1) == b"a", "another one"
        server.process.kill()
        server.process.wait()
        yield server.wait(lambda: server.read("error.log").count("the supervisor is gone") == 2), "it notices, too"
        os.kill(child, signal.SIGTERM)
        yield server.wait(lambda: gone(child)), "who does not want to wait sends it TERM"


def daemon(folder, port, origin):
    server = make(folder, port, origin, "daemon on;")
    done = subprocess.run([SPCD, "-p", folder, server.blob], capture_output=True, text=True, timeout=20, check=False)
    yield done.returncode == 0 and not done.stderr, f"the first process ends: {done}"
    yield server.wait(lambda: server.read("pid").strip()) and server.wait(lambda: echoes(port)), "the daemon serves"
    pid = int(server.read("pid"))
    yield status_of(pid, "PPid") != str(os.getpid()), "it is nobody's child of ours"
    yield os.getsid(pid) == pid, "it has a session of its own"
    null = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)}
    yield null == {"/dev/null"}, f"it has no terminal: {null}"
    os.kill(pid, signal.SIGHUP)
    yield server.wait(lambda: "reconfiguring" in server.read("error.log")) and echoes(port), "HUP reloads"
    os.kill(pid, signal.SIGQUIT)
    yield server.wait(lambda: gone(pid)) and not os.path.exists(folder + "/pid"), "QUIT ends it"


def closed(folder, port, origin):
    """Who starts it may have closed the standard descriptors: no socket and no log takes their place."""
    server = make(folder, port, origin, "daemon on;")
    def shut():
        os.closerange(0, 3)
    subprocess.Popen([SPCD, "-p", folder, server.blob], preexec_fn=shut).wait(20)
    yield server.wait(lambda: server.read("pid").strip()) and server.wait(lambda: echoes(port)), "it serves"
    pid = int(server.read("pid"))
    for process in (pid, children(pid)[0]):
        null = {os.readlink(f"/proc/{process}/fd/{fd}") for fd in range(3)}
        yield null == {"/dev/null"}, f"they are nothing: {null}"
    os.kill(pid, signal.SIGQUIT)
    yield server.wait(lambda: gone(pid)), "QUIT ends it"


def exhausted(folder, port, origin):
    """A reload, or logs opened anew, for which the server has no descriptors left changes nothing."""
    server = make(folder, port, origin, "worker_rlimit_nofile 256;")
    server.start()
    first = server_of(server)
    yield server.wait(lambda: echoes(port)), "it serves"
    used = len(os.listdir(f"/proc/{first}/fd"))
    resource.prlimit(first, resource.RLIMIT_NOFILE, (3, 256))
    for signal_name, says in (("HUP", "no descriptor is left for it"), ("USR1", "are left for the logs")):
        server.signal(signal_name)
        yield server.wait(lambda says=says: says in server.read("error.log")), f"{signal_name}: it says so"
    resource.prlimit(first, resource.RLIMIT_NOFILE, (256, 256))
    yield server.wait(lambda: echoes(port)) and children(server.process.pid) == [first], "the same server goes on"
    yield server.wait(lambda: len(os.listdir(f"/proc/{first}/fd")) <= used), "and nothing has leaked"
    server.signal("HUP")
    yield server.wait(lambda: "new sessions take the new" in server.read("error.log")), "a reload is possible again"
    server.end()


def limit_threads(pid, count):
    """Of a process of nobody's: who is root in a container may not do it."""
    count = "unlimited" if count == resource.RLIM_INFINITY else count
    command = ["prlimit", f"--pid={pid}", f"--nproc={count}:"]
    subprocess.run(command, user="nobody", group="nogroup", check=True)


def threadless(folder, port, origin):
    """A reload that wants workers that cannot be started is refused; logs and sockets stay."""
    os.chmod(folder, 0o777)
    server = make(folder, port, origin, "user nobody nogroup;")
    text = server.read("main.conf")
    server.start()
    first = server_of(server)
    yield server.wait(lambda: echoes(port)), "it serves"
    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    limit_threads(first, 1)
    assert server.place(text.replace("worker_processes 2;", "worker_processes 4;")), server.complaint
    for times in (1, 2):
        server.signal("HUP")
        yield server.wait(lambda times=times: server.read("error.log").count("4 workers cannot be started") == times), f"it says so, {times}"
    yield echoes(port) and children(server.process.pid) == [first], "it goes on"
    server.place(text)
    server.signal("HUP")
    yield server.wait(lambda: "new sessions take the new" in server.read("error.log")), "what can be is taken"
    limit_threads(first, limit)  # a sanitizer's last words take one
    server.end()


def told(folder, port, origin):
    """Why the server refuses a reload is said in the log of the configuration; standard error may be nobody's."""
    server = make(folder, port, origin)
    server.process = subprocess.Popen([SPCD, "-p", folder, server.blob], stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
    yield server.wait(lambda: echoes(port)), "it serves"
    with open(folder + "/bad.pem", "w", encoding="ascii") as file:
        file.write("no certificate\n")
    ssl = f"proxy_ssl on; proxy_ssl_verify on; proxy_ssl_name a; proxy_ssl_trusted_certificate {folder}/bad.pem;"
    server.place(server.read("main.conf").replace("proxy_pass", ssl + " proxy_pass"))
    server.signal("HUP")
    yield server.wait(lambda: "bad.pem" in server.read("error.log")), "it says why not"
    yield echoes(port), "and goes on"
    server.end()
    os.unlink(folder + "/error.log")
    stranger = ("user no-such-user;", "", 'user "no-such-user" is not known here')
    cases = [("", ssl, "bad.pem"), ("working_directory /nowhere/at/all;", "", "/nowhere/at/all: No such file"),
             ("pid nowhere/pid;", "", "nowhere/pid: No such file")] + [stranger] * (os.geteuid() == 0)
    for main, inside, says in cases:
        for kind in ("daemon on;", "daemon on; master_process off;"):
            server = make(folder, port, origin, kind, inside)
            text = server.read("main.conf")
            text = text.replace(f"pid {folder}/pid;", "") if "pid" in main else text
            assert server.place(text.replace("user root;", "") + main), server.complaint
            subprocess.run([SPCD, "-p", folder, server.blob], capture_output=True, timeout=20, check=False)
            yield server.wait(lambda one=server, says=says: says in one.read("error.log")), f"so does a daemon that cannot start: {kind} {says}"
            yield server.wait(lambda: is_free(port)), "and ends"
            os.unlink(folder + "/error.log")


def both(folder, port, origin):
    """HUP and USR1 at once: each line is in the log that the new configuration names."""
    server = make(folder, port, origin, server=f"error_log {folder}/one.log info;")
    server.start()
    yield server.wait(lambda: echoes(port)), "it serves"
    server.place(server.read("main.conf").replace("/one.log", "/two.log"))
    server.process.send_signal(signal.SIGSTOP)
    server.signal("HUP")
    server.signal("USR1")
    server.process.send_signal(signal.SIGCONT)
    yield server.wait(lambda: "reopening logs" in server.read("error.log")), "both are obeyed"
    yield server.wait(lambda: "new sessions take the new" in server.read("error.log")), "the new one is taken"
    before = len(server.read("one.log"))
    yield echoes(port) and server.wait(lambda: "connected to" in server.read("two.log")), "its log has its lines"
    yield len(server.read("one.log")) == before, "and the old one none"
    server.end()


def privileges(folder, port, origin):
    """A port below 1024 and a log that only root can make, served by nobody."""
    low = next((one for one in range(997, 900, -1) if is_free(one)), None)
    server = make(folder, port, origin, "user nobody nogroup;", where=f"127.0.0.1:{low}")
    server.start()
    worker = server_of(server)
    nobody = pwd.getpwnam("nobody")
    yield echoes(low), f"port {low} is served"
    yield status_of(server.process.pid, "Uid").split()[0] == "0", "the supervisor is root"
    yield status_of(worker, "Uid").split() == [str(nobody.pw_uid)] * 4, "the server is nobody"
    yield int(status_of(worker, "CapEff"), 16) == 0, "and has no capabilities"
    os.chmod(folder, 0o700)
    server.signal("HUP")
    yield server.wait(lambda: "new sessions take the new" in server.read("error.log")) and echoes(low), "HUP keeps the port"
    server.signal("USR1")
    yield server.wait(lambda: "reopening logs" in server.read("error.log")), "USR1 opens logs that nobody cannot"
    server.end()


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are over take nothing
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


# ---- without one ----

def single(folder, port, origin):
    server = make(folder, port, origin, "master_process off;", server=f"error_log {folder}/own.log;")
    server.start()
    yield children(server.process.pid) == [], "there is one process"
    yield echoes(port), "it serves"
    os.rename(folder + "/error.log", folder + "/old.log")
    server.signal("USR1")
    yield server.wait(lambda: os.path.exists(folder + "/error.log")), "USR1 reopens its log"
    server.signal("HUP")
    yield server.wait(lambda: "new sessions take the new" in server.read("error.log")) and echoes(port), "HUP reloads"
    server.spoil()
    server.signal("HUP")
    yield server.wait(lambda: "cannot be used" in server.read("error.log")) and echoes(port), "not what is no blob"
    with socket.create_connection(("127.0.0.1", port)) as lasting:
        lasting.sendall(b"a")
        yield lasting.recv(1) == b"a", "a session"
        server.signal("QUIT")
        yield server.wait(lambda: not echoes(port)), "QUIT: nobody new"
        lasting.sendall(b"b")
        yield lasting.recv(1) == b"b", "who is there goes on"
    yield server.wait(lambda: server.process.poll() == 0), "then it ends"
    for name in ("TERM", "INT"):
        server = make(folder, port, origin, "master_process off;")
        server.start()
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"a")
            client.recv(1)
            server.signal(name)
            yield server.wait(lambda one=server: one.process.poll() == 0), f"{name} ends it at once"
            yield ends(client), "with its sessions"
        yield not os.path.exists(folder + "/pid"), "and its pid file"


def ends(client):
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


# ---- with and without ----

def unix(folder, port, origin):
    """A path that was given up is somebody else's: nobody unlinks it again, and nobody listens again."""
    path = folder + "/sock"
    for main in ("", "master_process off;"):
        server = make(folder, port, origin, main, where=f"unix:{path}")
        server.start()
        with socket.socket(socket.AF_UNIX) as lasting, socket.socket(socket.AF_UNIX) as other:
            yield server.wait(lambda: os.path.exists(path)), f"it listens {main}"
            lasting.connect(path)
            lasting.sendall(b"a")
            yield lasting.recv(1) == b"a", f"a session {main}"
            server.signal("QUIT")
            yield server.wait(lambda: not os.path.exists(path)), f"QUIT gives the path up at once {main}"
            other.bind(path)
            server.signal("HUP")
            server.signal("USR1")
            yield server.wait(lambda one=server: "reopening logs" in one.read("error.log")), f"HUP and USR1 {main}"
            yield "reconfiguring" not in server.read("error.log"), f"a server that drains does not reload {main}"
            if main:
                lasting.close()
            else:
                server.signal("TERM")
            yield server.wait(lambda one=server: one.process.poll() is not None), f"it ends {main}"
            yield os.path.exists(path), f"and leaves another's path alone {main}"
        os.unlink(path)
        os.unlink(folder + "/error.log")


def halfway(folder, port, origin):
    """Paths that were bound before an address that cannot be: nobody keeps them, at a reload and at a start."""
    path, far = folder + "/new", "192.0.2.1:80"
    for main in ("", "master_process off;"):
        server = make(folder, port, origin, main)
        text = server.read("main.conf")
        server.start()
        yield server.wait(lambda: echoes(port)), f"it serves {main}"
        server.place(text.replace("listen", f"listen unix:{path}; listen {far}; listen"))
        server.signal("HUP")
        yield server.wait(lambda one=server: f"bind() to {far} failed" in one.read("error.log")), f"an address of another {main}"
        yield server.wait(lambda: not os.path.exists(path)), f"the path is gone {main}"
        yield echoes(port), f"it goes on {main}"
        server.end()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(path)
            other.listen()
            server.place(text.replace("listen", f"listen unix:{path}; listen {far}; listen"))
            for mode in ([], ["-t"]):
                done = subprocess.run([SPCD, *mode, "-p", folder, server.blob], capture_output=True, text=True, timeout=20, check=False)
                yield done.returncode == 1 and os.path.exists(path), f"another's path stays {mode} {main}"
        os.unlink(path)
        done = subprocess.run([SPCD, "-p", folder, server.blob], capture_output=True, text=True, timeout=20, check=False)
        yield done.returncode == 1 and not os.path.exists(path), f"no start, no path {main}"
        os.unlink(folder + "/error.log")


def upgrade(folder, port, origin):
    """What makes nginx start another program ends none here."""
    for main in ("", "master_process off;"):
        server = make(folder, port, origin, main)
        server.start()
        yield server.wait(lambda: echoes(port)), f"it serves {main}"
        server.signal("USR2")
        yield server.wait(lambda one=server: "USR2 has no meaning here" in one.read("error.log")), f"it says so {main}"
        yield echoes(port) and server.process.poll() is None, f"and goes on {main}"
        server.end()
        os.unlink(folder + "/error.log")


def pid(folder, port, origin):
    """A pid file that cannot be written: no start, as in nginx; a reload keeps the one there is."""
    for main in ("", "master_process off;"):
        server = make(folder, port, origin, main)
        server.start()
        yield server.wait(lambda: echoes(port)), f"it serves {main}"
        text = server.read("main.conf")
        server.place(text.replace(f"pid {folder}/pid;", f"pid {folder}/nowhere/pid;"))
        server.signal("HUP")
        yield server.wait(lambda one=server: f"writing {folder}/nowhere/pid failed (2:" in one.read("error.log")), f"it says so {main}"
        yield echoes(port) and server.read("pid").strip() == str(server.process.pid), f"the old one stays {main}"
        server.place(text.replace(f"pid {folder}/pid;", f"pid {folder}/other.pid;"))
        server.signal("HUP")
        yield server.wait(lambda: os.path.exists(folder + "/other.pid")), f"one that can be is written {main}"
        yield server.wait(lambda: not os.path.exists(folder + "/pid")), f"and the old one removed {main}"
        server.end()
        yield not os.path.exists(folder + "/other.pid"), f"which is gone with the server {main}"
        os.unlink(folder + "/error.log")
    server.place(text.replace(f"pid {folder}/pid;", f"pid {folder}/nowhere/pid;"))
    done = subprocess.run([SPCD, "-p", folder, server.blob], capture_output=True, text=True, timeout=20, check=False)
    yield done.returncode == 1 and "nowhere/pid: No such file" in done.stderr, f"no start: {done}"
    yield is_free(port), "and nobody is left"


# ---- -t ----

def ask(*words):
    return subprocess.run([SPCD, *words], capture_output=True, text=True, timeout=20, check=False)


def tested(folder, port, origin):
    server = make(folder, port, origin)
    good = ask("-t", "-p", folder, server.blob)
    yield good.returncode == 0 and "is in order and can be served here" in good.stderr, f"a good blob: {good.stderr}"
    yield not os.path.exists(folder + "/pid") and is_free(port), "nothing is left of a test"
    with socket.create_server(("127.0.0.1", port)):
        yield ask("-t", "-p", folder, server.blob).returncode == 0, "a port in use is no mistake in a test"
        start = ask("-p", folder, server.blob)
        yield start.returncode == 1 and f"bind() to 127.0.0.1:{port} failed (98:" in start.stderr, f"but at a start: {start.stderr}"
    with open(server.blob, "rb") as file:
        blob = file.read()
    cases = [
        ("cut", blob[:len(blob) // 2], "cannot be used"),
        ("empty", b"", "cannot be used"),
        ("text", b"stream { }\n" * 100, "cannot be used"),
        ("one bit", blob[:-9] + bytes([blob[-9] ^ 4]) + blob[-8:], "cannot be used"),
    ]
    for name, content, says in cases:
        with open(folder + "/bad.spcb", "wb") as file:
            file.write(content)
        done = ask("-t", folder + "/bad.spcb")
        yield done.returncode == 1 and says in done.stderr, f"{name}: {done.returncode} {done.stderr}"
    done = ask("-t", folder + "/nowhere.spcb")
    yield done.returncode == 1 and "No such file or directory" in done.stderr, f"no file: {done.stderr}"
    done = ask("-t", "-p", folder + "/nowhere", server.blob)
    yield done.returncode == 1 and "No such file or directory" in done.stderr, f"no prefix: {done.stderr}"
    done = ask("-x")
    yield done.returncode == 2 and "-t" in done.stderr, f"an option that does not exist: {done.returncode} {done.stderr}"
    lost = make(folder, port, origin, server="error_log /nowhere/at/all.log;")
    done = ask("-t", "-p", folder, lost.blob)
    yield done.returncode == 1 and "open() /nowhere/at/all.log failed" in done.stderr, f"a log that cannot be: {done.stderr}"
    far = make(folder, port, origin, where="192.0.2.1:80")
    done = ask("-t", "-p", folder, far.blob)
    yield done.returncode == 1 and "bind() to 192.0.2.1:80 failed (99:" in done.stderr, f"an address of another: {done.stderr}"
    stranger = make(folder, port, origin, "user no-such-user;")
    if os.geteuid() == 0:
        done = ask("-p", folder, stranger.blob)
        yield done.returncode == 1 and 'user "no-such-user" is not known here' in done.stderr, f"no user: {done.stderr}"


def rotated(folder, port, origin):
    """The file of -e, where no error_log says better, is opened anew like any other; by who has no right to, too."""
    for main in ("", "user nobody nogroup;", "master_process off; working_directory /;"):
        if "user" in main and os.geteuid() != 0:
            continue
        server = make(folder, port, origin, main)
        text = server.read("main.conf").replace(f"error_log {folder}/error.log notice;", "")
        assert server.place(text.replace(f"proxy_pass 127.0.0.1:{origin.port}", "proxy_pass 127.0.0.1:1")), server.complaint
        server.process = subprocess.Popen([SPCD, "-p", folder, "-e", "own.log", server.blob], preexec_fn=die_with_parent)
        yield server.wait(lambda one=server: one.pid_is_written() and not is_free(port)), f"it listens {main}"
        os.rename(folder + "/own.log", folder + "/old.log")
        server.signal("USR1")
        yield server.wait(lambda: os.path.exists(folder + "/own.log")), f"it is there again {main}"
        def is_written(one=server):
            echoes(port)
            return "connect() failed" in one.read("own.log")
        yield server.wait(is_written), f"and written to {main}"
        server.end()
        os.unlink(folder + "/own.log")


def cored(folder, port, origin):
    """A core file goes to working_directory, whoever the server is; paths stay below the prefix, as in nginx."""
    os.mkdir(folder + "/cores")
    os.chmod(folder + "/cores", 0o777)
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as file:
        named = file.read()[0] not in "|/" and not BUILD.endswith("-san")  # a sanitizer leaves none
    for main in ("", "master_process off;"):
        user = "user nobody nogroup;" if os.geteuid() == 0 else ""
        server = make(folder, port, origin, f"{user} {main} worker_rlimit_nofile 256; working_directory {folder}/cores;")
        text = server.read("main.conf").replace(f"{folder}/error.log", "relative.log").replace(f"{folder}/pid", "pid")
        assert server.place(text.replace("proxy_pass", "access_log by-$protocol.log own; proxy_pass").replace("stream {", "stream { log_format own x;"))
        os.chmod(folder, 0o777)
        server.process = subprocess.Popen([SPCD, "-p", folder, server.blob], preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (1 << 30, 1 << 30)))
        yield server.wait(lambda: echoes(port)), f"it serves {main}"
        yield server.wait(lambda: os.path.exists(folder + "/by-TCP.log")), f"a log that a line names is below the prefix {main}"
        os.rename(folder + "/relative.log", folder + "/old.log")
        server.signal("USR1")
        yield server.wait(lambda: os.path.exists(folder + "/relative.log")), f"and one that is opened anew {main}"
        os.kill(server.process.pid if main else server_of(server), signal.SIGABRT)
        yield not named or server.wait(lambda: any("core" in one for one in os.listdir(folder + "/cores"))), f"the core file {main}"
        if not main:
            yield server.wait(lambda one=server: "exited on signal 6" in one.read("relative.log")) and server.wait(lambda: echoes(port)), "another server"
            server.end()
        server.process.wait()
        for one in os.listdir(folder + "/cores"):
            os.unlink(folder + "/cores/" + one)
        os.unlink(folder + "/relative.log")
        os.unlink(folder + "/by-TCP.log")


def linked(folder, port, origin):
    """The blob's path leads through links to another file later: a reload follows them anew."""
    for main in ("", "master_process off;"):
        server = make(folder, port, origin, main)
        for name, at in (("one", origin.port), ("two", 1)):
            os.mkdir(f"{folder}/{name}")
            assert server.place(server.read("main.conf").replace(f"127.0.0.1:{origin.port}", f"127.0.0.1:{at}"))
            os.rename(server.blob, f"{folder}/{name}/blob")
        os.symlink("one", folder + "/current")
        server.process = subprocess.Popen([SPCD, "-p", folder, "current/blob"], cwd=folder, preexec_fn=die_with_parent)
        yield server.wait(lambda: echoes(port)), f"the first one {main}"
        os.symlink("two", folder + "/next")
        os.rename(folder + "/next", folder + "/current")
        shutil.rmtree(folder + "/one")
        server.signal("HUP")
        yield server.wait(lambda: not echoes(port)) and server.process.poll() is None, f"then the second {main}"
        yield "[emerg]" not in server.read("error.log"), f"which is found {main}"
        server.end()
        shutil.rmtree(folder + "/two")
        os.unlink(folder + "/current")
        os.unlink(folder + "/error.log")


def bound(folder, port, origin):
    """A CPU that there is none of: it is said, as nginx does, and served."""
    server = make(folder, port, origin, f"worker_cpu_affinity 1{'0' * 1000};")
    server.start()
    yield server.wait(lambda: "worker_cpu_affinity of worker 0 cannot be had (22:" in server.read("error.log")), "it is said"
    yield server.wait(lambda: echoes(port)), "it serves"
    server.end()


def secret(folder, port, origin):
    """Files that spcd makes are for whom they should be."""
    server = make(folder, port, origin)
    server.start()
    mode = stat.S_IMODE(os.stat(folder + "/error.log").st_mode)
    yield mode == 0o644, f"the log: {mode:o}"
    server.end()


def main():
    held, origin = Ports(), Origin("echo")
    die_with_parent()
    tally = Tally()
    for case in (killed, alone, daemon, closed, exhausted, told, both, threadless, privileges, single, upgrade, unix, halfway, pid,
                 tested, rotated, linked, cored, bound, secret):
        if case in (privileges, threadless) and os.geteuid() != 0:
            continue
        with tempfile.TemporaryDirectory(prefix="spc-") as folder:
            os.chmod(folder, 0o755)
            for good, what in case(folder, held.take(), origin):
                tally.check(good, f"{case.__name__}: {what}")
    origin.end()
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
