"""suites-table.py DIRECTORY PART VOICE...: what the voices' outputs in DIRECTORY say, as a table; into docs/results.md unless PART (of a suite) was run."""
import re
import sys

directory, part, *voices = sys.argv[1:]
names = {"nolibc": "nolibc-test", "ash": "ash_test", "bash": "bash"}
asked = {names[word.split("-")[0]] for word in part.split()} or set(names.values())
# Lines of limits.md: - `SUITE NAME` of KERNELS (or all): why.
known = set()
for line in open("docs/limits.md"):
    if m := re.match(r"- (`\S.*?`(?:, `.*?`)*) of ([a-z, ]+): ", line):
        known |= {(voice, name) for name in re.findall(r"`(.*?)`", m[1]) for voice in (voices if m[2] == "all" else m[2].split(", "))}
results = {}
for voice in voices:
    text = open(f"{directory}/{voice}.out", errors="replace").read()
    found = results[voice] = {"nolibc-test": {}, "ash_test": {}, "bash": {}}
    section = ""
    for line in text.splitlines():
        if m := re.match(r"Running test '(\w+)'", line):
            section = m[1]
        elif m := re.match(r"(\d+) (.*?)\s*\[(OK|FAIL|SKIPPED)\]", line) or re.match(r"(\d+) (\S+).*(FAIL|OK|SKIPPED)", line):
            found["nolibc-test"][f"{section} {m[1]} {m[2].split()[0]}"] = m[3] != "FAIL"
        elif m := re.match(r"(ash-\S+?)/(\S+?): (ok|fail)", line):
            found["ash_test"][f"{m[1]}/{m[2]}"] = m[3] == "ok"
        elif m := re.match(r"bash/run-(\S+): (ok|fail)", line):
            found["bash"][m[1]] = m[2] == "ok"
rows, worse, unknown = [], [], 0
for suite in ["nolibc-test", "ash_test", "bash"]:
    reference = results[voices[0]][suite]
    if not reference and suite not in asked:
        continue
    if not reference:
        sys.exit(f"suites: {suite} said nothing on {voices[0]}: {directory}/{voices[0]}.out")
    cells = [f"{sum(results[v][suite].values())} of {len(results[v][suite])}" for v in voices]
    rows.append(f"| {suite} | " + " | ".join(cells) + " |")
    for voice in voices[1:]:
        own = results[voice][suite]
        missing = sorted(name for name, ok in reference.items() if ok and name not in own)
        if missing:
            unknown += 1
            worse.append(f"{voice}: {suite}: {len(missing)} were not reached, from {missing[0]} on")
        for name in (name for name, ok in reference.items() if ok and own.get(name) is False):
            is_known = (voice, f"{suite} {name}") in known
            unknown += not is_known
            worse.append(f"{voice}: {suite} {name}: fails{' (docs/limits.md)' if is_known else ''}")
table = "\n".join(["| Suite | " + " | ".join(voices) + " |", "|---" * (len(voices) + 1) + "|", *rows])
print(table)
print("\n".join(worse) or "suites: each passes what Linux passes")
if not part:
    path, begin, end = "docs/results.md", "<!-- suites -->\n", "<!-- /suites -->\n"
    text = open(path).read()
    before, rest = text.split(begin)
    details = "".join(f"- {line}\n" for line in worse)
    open(path, "w").write(before + begin + table + "\n" + ("\nPassed by Linux and not by a kernel:\n" + details if details else "") + end + rest.split(end)[1])
sys.exit(bool(unknown))
