#!/usr/bin/python3
"""What spcc fmt does to files: in place, as a filter, and by the patches that --diff prints.

    tests/fmt/run.py

Over every configuration there is here (tests/, examples/, ../shared/corpus and /etc/nginx): the result is as it should
be, and patch(1) with what --diff prints makes the same of the original. Prints "N passed, N failed" last.
"""
import array
import fcntl
import glob
import os
import stat
import subprocess
import sys
import tempfile
import termios
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SPCC = os.environ.get("SPCC") or os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"), "spcc")
LOOSE, TIGHT, BROKEN = b"server{listen 80;}\r\n", b"server {\n    listen 80;\n}\n", b"server {\n"


def fmt(*arguments, text=None):
    done = subprocess.run([SPCC, "fmt", *arguments], input=text, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)


def read(path):
    with open(path, "rb") as file:
        return file.read()


# ---- one file ----


def in_place(path):
    write(path, LOOSE)
    return fmt(path) == (0, b"") and read(path) == TIGHT and os.listdir(os.path.dirname(path)) == ["a.conf"]


def keeps_permissions(path):
    write(path, LOOSE)
    os.chmod(path, 0o640)
    fmt(path)
    return stat.S_IMODE(os.stat(path).st_mode) == 0o640


def keeps_owner(path):
    write(path, LOOSE)
    if os.geteuid() == 0:
        os.chown(path, 12345, 12346)
    before = os.stat(path)
    fmt(path)
    after = os.stat(path)
    return (before.st_uid, before.st_gid) == (after.st_uid, after.st_gid) and read(path) == TIGHT


def leaves_alone_what_is_right(path):
    write(path, TIGHT)
    before = os.stat(path)
    status = fmt(path)
    return status == (0, b"") and os.stat(path) == before


def leaves_alone_what_is_broken(path):
    write(path, BROKEN)
    before = os.stat(path)
    return fmt(path) == (1, b"") and os.stat(path) == before


def goes_on_behind_a_broken_one(path):
    write(path, BROKEN)
    write(path + "2", LOOSE)
    return fmt(path, path + "2") == (1, b"") and read(path + "2") == TIGHT


def follows_a_link(path):
    write(path + ".real", LOOSE)
    os.symlink("a.conf.real", path)
    fmt(path)
    return os.path.islink(path) and read(path + ".real") == TIGHT


def refuses_a_pipe(path):
    os.mkfifo(path)
    with open(os.open(path, os.O_RDWR), "wb", buffering=0) as pipe:  # both ends: it reads, and waits for more
        pipe.write(LOOSE)
        child = subprocess.Popen([SPCC, "fmt", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while child.poll() is None and unread(pipe) > 0:
            time.sleep(0.01)
    return child.wait(timeout=60) == 2 and stat.S_ISFIFO(os.stat(path).st_mode)


def unread(pipe):
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def filters(_):
    return fmt("-", text=LOOSE) == (0, TIGHT)


def filters_what_is_right(_):
    return fmt("-", text=TIGHT) == (0, TIGHT)


def filter_prints_nothing_of_what_is_broken(_):
    return fmt("-", text=BROKEN) == (1, b"")


def filter_checks(_):
    return fmt("--check", "-", text=LOOSE) == (1, b"<stdin>\n")


# ---- many files ----


def configurations():
    patterns = ["tests/*/*.conf", "examples/*.conf", "../shared/corpus/*/*.conf", "/etc/nginx/**/*"]
    for pattern in patterns:
        for path in sorted(glob.glob(os.path.join(ROOT, pattern), recursive=True)):
            if os.path.isfile(path):
                yield path


def judge(path, scratch):
    """None: it does not parse. Else: is everything as it should be?"""
    original = read(path)
    status, result = fmt("-", text=original)
    if status:
        return None if status == 1 and not result else False
    if fmt("-", text=result) != (0, result) or fmt("--check", "-", text=result) != (0, b""):
        return False
    status, patch = fmt("--diff", path)
    if status != (result != original) or bool(status) != bool(patch):
        return False
    write(scratch, original)
    if patch:
        subprocess.run(["patch", "--binary", "-s", "-u", scratch], input=patch, timeout=60, check=True)
    return read(scratch) == result


def main():
    passed, failed, refused = 0, 0, 0
    for case in (in_place, keeps_permissions, keeps_owner, leaves_alone_what_is_right, leaves_alone_what_is_broken,
                 goes_on_behind_a_broken_one, follows_a_link, refuses_a_pipe, filters, filters_what_is_right,
                 filter_prints_nothing_of_what_is_broken, filter_checks):
        with tempfile.TemporaryDirectory(prefix="spc-") as folder:
            good = case(folder + "/a.conf")
        passed, failed = passed + good, failed + (not good)
        if not good:
            print(f"FAILED {case.__name__}")
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        for path in configurations():
            good = judge(path, folder + "/a.conf")
            if good is None:
                refused += 1
                continue
            passed, failed = passed + good, failed + (not good)
            if not good:
                print(f"FAILED {path}")
    print(f"{refused} do not parse and were left alone")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or passed < 50 else 0


if __name__ == "__main__":
    sys.exit(main())
