"""suites-table.py DIRECTORY PART VOICE...: what the voices' outputs in DIRECTORY say, as a table; into docs/results.md unless PART (of a suite) was run."""
import re
import sys

directory, part, *voices = sys.argv[1:]
results = {}
for voice in voices:
    text = open(f"{directory}/{voice}.out", errors="replace").read()
    found = results[voice] = {"nolibc-test": {}, "ash_test": {}}
    section = ""
    for line in text.splitlines():
        if m := re.match(r"Running test '(\w+)'", line):
            section = m[1]
        elif m := re.match(r"(\d+) (.*?)\s*\[(OK|FAIL|SKIPPED)\]", line) or re.match(r"(\d+) (\S+).*(FAIL|OK|SKIPPED)", line):
            found["nolibc-test"][f"{section} {m[1]} {m[2].split()[0]}"] = m[3] != "FAIL"
        elif m := re.match(r"(ash-\S+?)/(\S+?): (ok|fail)", line):
            found["ash_test"][f"{m[1]}/{m[2]}"] = m[3] == "ok"
rows, worse = [], []
for suite in ["nolibc-test", "ash_test"]:
    reference = results[voices[0]][suite]
    if not reference:
        sys.exit(f"suites: {suite} said nothing on {voices[0]}: {directory}/{voices[0]}.out")
    cells = [f"{sum(results[v][suite].values())} of {len(results[v][suite])}" for v in voices]
    rows.append(f"| {suite} | " + " | ".join(cells) + " |")
    for voice in voices[1:]:
        own = results[voice][suite]
        worse += [f"{voice}: {suite} {name}: {'fails' if name in own else 'was not reached'}" for name, ok in reference.items() if ok and not own.get(name)]
table = "\n".join(["| Suite | " + " | ".join(voices) + " |", "|---" * (len(voices) + 1) + "|", *rows])
print(table)
print("\n".join(worse) or "suites: each passes what Linux passes")
if not part:
    path, begin, end = "docs/results.md", "<!-- suites -->\n", "<!-- /suites -->\n"
    text = open(path).read()
    before, rest = text.split(begin)
    details = "".join(f"- {line}\n" for line in worse)
    open(path, "w").write(before + begin + table + "\n" + ("\nPassed by Linux and not by a kernel:\n" + details if details else "") + end + rest.split(end)[1])
sys.exit(bool(worse))
