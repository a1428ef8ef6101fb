"""A table in docs/PERFORMANCE.md: it stands below a line with its mark, and ends with an empty line."""
import argparse
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def replace(path, mark, text):
    with open(path, encoding="utf-8") as file:
        before, found, rest = file.read().partition(f"<!-- {mark} -->\n")
    if not found:
        raise SystemExit(f"{path}: there is no <!-- {mark} -->")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{found}{text}\n\n{rest.partition(chr(10) * 2)[2] if rest.startswith('|') else rest.lstrip()}")


def run(mark, table, **options):
    """The main program of a bench that makes one table: its options, the table printed, the table replaced."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=f"{ROOT}/build")
    parser.add_argument("--markdown")
    for name, value in options.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    chosen = parser.parse_args()
    text = table(chosen.build, **{name: getattr(chosen, name) for name in options})
    print(text)
    if chosen.markdown:
        replace(chosen.markdown, mark, text)
