#!/usr/bin/python3
"""The pages that spcc manual writes: are the committed ones fresh, and is what they say true?

    tests/manual/run.py [PART]...      fresh examples explained json shells

fresh       docs/ has what spcc manual prints today, mandoc has no complaint, and spcc.1 tells of each command and option
examples    each example of docs/diagnostics.md, through spcc check: the wrong one has the finding, the right one not
explained   each code and each directive has something that spcc explain prints
json        docs/JSON.md names each key that --format=json writes, and no other
shells      the completions work in the shells that are installed
Prints what is wrong and, last, "N passed, N failed".
"""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SPCC = os.environ.get("SPCC") or os.path.join(ROOT, os.environ.get("SPCD_BUILD", "build"), "spcc")
PAGES = {
    "directives": "docs/directives.md",
    "diagnostics": "docs/diagnostics.md",
    "spc.conf.5": "docs/spc.conf.5",
    "bash": "docs/completion/spcc.bash",
    "zsh": "docs/completion/_spcc",
    "fish": "docs/completion/spcc.fish",
}
NOT_YET = "SP120"  # what spcd cannot do yet may be shown


def spcc(*arguments, **options):
    return subprocess.run([SPCC, *arguments], capture_output=True, encoding="utf-8", timeout=60, check=False, **options)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


# ---- fresh ----


def fresh():
    for page, path in PAGES.items():
        wanted = spcc("manual", page).stdout
        seen = read(path) if os.path.exists(os.path.join(ROOT, path)) else None
        yield path, None if seen == wanted and wanted else "it is not what the tables say today: run \"make manual\""
    page = os.path.join(ROOT, PAGES["spc.conf.5"])
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True, encoding="utf-8", check=False)
    yield "mandoc", done.stdout or None
    yield from named_in_the_page()


COMMAND = re.compile(r'^COMMAND\(\w+, "(\w+)",', re.MULTILINE)
OPTION = re.compile(r"^OPTION\(\w+, (?:'(.)'|0), (?:\"([\w-]+)\"|NULL),", re.MULTILINE)


def named_in_the_page():
    """spcc.1 is written by hand: has it all that commands.def has?"""
    page, table = read("docs/spcc.1"), read("grammar/commands.def")
    wanted = [".It Cm " + name for name in COMMAND.findall(table)]
    for letter, name in OPTION.findall(table):
        wanted += [".It Fl " + letter] if letter else []
        wanted += ["Fl " + name if name.isupper() else "Fl -" + name] if name else []
    for one in wanted:
        yield "docs/spcc.1", None if re.search(re.escape(one) + r"\b", page) else f"it does not tell of {one}"


# ---- examples ----

SECTION = re.compile(r"^## (SP\d+)$", re.MULTILINE)
EXAMPLE = re.compile(r"^(Wrong|Right)(?: \(`spcc check (.*)`\))?:\n\n```nginx\n(.*?)\n```$", re.MULTILINE | re.DOTALL)


def findings(text, options, folder):
    """(exit status, {code: sentence}) of spcc check over an example."""
    if not re.search(r"^\s*stream\b", text, re.MULTILINE):
        text = "events {}\nstream {\n" + text + "\n}"
    with open(folder + "/example.conf", "w", encoding="utf-8") as file:
        file.write(text + "\n")
    done = spcc("check", "--format=json", *options, "example.conf", cwd=folder)
    told = json.loads(done.stdout)["findings"]
    return done.returncode, {one["code"]: one["message"] for one in told if one["silenced"] is None}


def judge(code, kind, options, text, folder):
    status, found = findings(text, options, folder)
    if kind == "Wrong":
        return None if code in found else f"it is not found, but: {found}"
    _, plainly = findings(text, [one for one in options if one != "-W"], folder)
    others = {one: says for one, says in plainly.items() if one != NOT_YET}
    if code in found or status or others:
        return f"exit {status}, found: {found}"
    return None


def examples():
    parts = SECTION.split(read(PAGES["diagnostics"]))[1:]
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        for code, section in zip(parts[::2], parts[1::2]):
            options = []
            for kind, given, text in EXAMPLE.findall(section):
                options = shlex.split(given) or options
                yield f"{code} {kind.lower()}", judge(code, kind, options, text, folder)


# ---- explained ----

DIAGNOSTIC = re.compile(r'^DIAGNOSTIC\(\w+, "(SP\d+)", "([\w-]+)",', re.MULTILINE)
DIRECTIVE = re.compile(r'^DIRECTIVE\(\w+, "(\w+)",', re.MULTILINE)


def explained():
    for code in sorted({code for code, _ in DIAGNOSTIC.findall(read("grammar/diagnostics.def"))}):
        done = spcc("explain", code)
        has_why = done.returncode == 0 and "\nWhy\n" in done.stdout
        yield code, None if has_why else "there is no why: add a row to grammar/explanations.def"
    for name in sorted(set(DIRECTIVE.findall(read("grammar/directives.def")))):
        done = spcc("explain", name)
        yield name, None if done.returncode == 0 and "\nSyntax     " + name in done.stdout else done.stdout + done.stderr


# ---- json ----

EVERYTHING = (
    "stream {\n# spcc: allow(SP501) a test\nserver { listen 127.0.0.1:1; listen 127.0.0.1:1; proxy_ssl on;"
    " proxy_pass 127.0.0.1:2; }\n server { listen x:1; }\n}\n"
)


def keys(value):
    if isinstance(value, dict):
        for key, inside in value.items():
            yield key
            yield from keys(inside)
    elif isinstance(value, list):
        for one in value:
            yield from keys(one)


def json_keys():
    with tempfile.TemporaryDirectory(prefix="spc-") as folder:
        with open(folder + "/all.conf", "w", encoding="utf-8") as file:
            file.write(EVERYTHING)
        written = set(keys(json.loads(spcc("check", "--format=json", "all.conf", cwd=folder).stdout)))
    member = re.compile(r'\\"(\w+)\\":|member\(\w+, "(\w+)"')
    source = read("compiler/report_json.c").split("/* ---- gitlab ---- */")[0]
    in_source = {one or other for one, other in member.findall(source)}
    yield "the test sees all keys", None if in_source == written else f"not seen: {in_source ^ written}"
    page = read("docs/JSON.md")
    shown = set(keys(json.loads("".join(re.findall(r"^    (.*)$", page, re.MULTILINE)))))
    yield "the example", None if shown == written else f"not as it is written: {shown ^ written}"
    documented = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    for key in sorted(written | documented):
        wrong = "docs/JSON.md does not tell of it" if key in written else "docs/JSON.md tells of it, and it is not written"
        yield key, None if key in written and key in documented else wrong


# ---- shells ----

BASH = """
source docs/completion/spcc.bash
complete_line() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _spcc; echo "${COMPREPLY[*]}"; }
"""
BASH_CASES = {
    "spcc ch": "check",
    "spcc check --form": "--format",
    "spcc check --format = sar": "sarif",
    "spcc check --deny = SP60": "SP601 SP602 SP603 SP604 SP605 SP606 SP607 SP608",
    "spcc explain proxy_time": "proxy_timeout",
    "spcc explain remote_a": "remote_addr",
    "spcc explain SP601": "SP601",
    "spcc manual di": "directives diagnostics",
    "spcc fmt --d": "--diff",
    "spcc -o READ": "README.md",
    "spcc -I gramm": "grammar",
}
FISH_CASES = {
    "spcc che": "check",
    "spcc check --form": "--format",
    "spcc check --format sar": "sarif",
    "spcc explain proxy_timeou": "proxy_timeout",
    "spcc manual dire": "directives",
    "spcc fmt --dif": "--diff",
}
ZSH = """
autoload -U compinit && compinit -D -u
_arguments() { print -r -- "$@" "${topics[@]}" }
_describe() { print -r -- "${(P@)2}" }
_files() { }
words=(%s) CURRENT=%d
source docs/completion/_spcc
"""
ZSH_CASES = {"spcc ch": "check:judge", "spcc check --f": "--format=[", "spcc explain x": "proxy_timeout", "spcc -": "-o["}


def shell(*command, **options):
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60, check=False, **options
    )


def shells():
    for line, wanted in BASH_CASES.items():
        done = shell("bash", "--norc", "-c", BASH + "complete_line " + line)
        seen = done.stdout.split()
        wrong = None if seen == wanted.split() and not done.stderr else f"{seen} {done.stderr}"
        yield f"bash: {line}", wrong
    if shutil.which("fish"):
        for line, wanted in FISH_CASES.items():
            with tempfile.TemporaryDirectory(prefix="spc-") as home:
                script = f"source docs/completion/spcc.fish; complete -C {shlex.quote(line)}"
                done = shell("fish", "--no-config", "-c", script, env={**os.environ, "HOME": home})
            seen = [one.split("\t")[0] for one in done.stdout.splitlines()]
            yield f"fish: {line}", None if wanted in seen and not done.stderr else f"{seen} {done.stderr}"
    if shutil.which("zsh"):
        for line, wanted in ZSH_CASES.items():
            done = shell("zsh", "-f", "-c", ZSH % (line, len(line.split())))
            yield f"zsh: {line}", None if wanted in done.stdout and not done.stderr else done.stdout + done.stderr


PARTS = {"fresh": fresh, "examples": examples, "explained": explained, "json": json_keys, "shells": shells}


def main():
    passed = failed = 0
    for part in sys.argv[1:] or PARTS:
        for name, wrong in PARTS[part]():
            passed += wrong is None
            failed += wrong is not None
            if wrong is not None:
                print(f"FAILED {part}: {name}: {wrong}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
