"""From the results of all files and packages to report.json, report.md and report.png.

Run as `python report.py FOLDER` it writes the last two again, from the report.json in FOLDER.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

Report = dict[str, Any]
Record = dict[str, Any]  # what analyse.py says of one file, or of one package

TOP = 20  # rows in the lists of the longest and the most


def build_report(source: str, paths: list[str], files: Iterable[Record], packages: Iterable[Record]) -> Report:
    """The report, whatever order the results came in. `paths` are the files there should be a result of."""
    by_path = {record["path"]: record for record in files}
    table = [by_path[path] for path in sorted(by_path)]
    packages = sorted(packages, key=lambda record: record["package"])
    functions = Counter[str]()
    for record in table:
        functions[os.path.dirname(record["path"]) or "."] += record["functions"]

    importers = Counter(name for record in table for name in record["imports"])
    longest = [{"path": r["path"], **r["longest_function"]} for r in table if r["longest_function"]]
    lengths = [sum(column) for column in zip(*(r["function_lengths"] for r in table), strict=True)]
    return {
        "source": source,
        "totals": {
            "files": len(table),
            "packages": len(packages),
            "size": sum(record["size"] for record in table),
            "lines": sum(record["lines"] for record in table),
            "functions": sum(record["functions"] for record in table),
            "errors": sum(record["error"] is not None for record in table),
        },
        "most_imported": [
            {"module": name, "files": count}
            for name, count in sorted(importers.items(), key=lambda item: (-item[1], item[0]))[:TOP]
        ],
        "longest_functions": sorted(longest, key=lambda f: (-f["lines"], f["path"], f["name"]))[:TOP],
        "function_lengths": dict(zip(length_classes(len(lengths)), lengths, strict=True)),
        "missing": sorted(set(paths) - set(by_path)),
        "packages": [{**record, "functions": functions[record["package"]]} for record in packages],
        "files": table,
    }


def length_classes(count: int) -> list[str]:
    """Names for the classes that analyse.py counts in: powers of two, the last one open."""
    names = ["1", "2"] + [f"{2 ** (i - 1) + 1}-{2**i}" for i in range(2, count)]
    if count > 2:
        names[-1] = f"over {2 ** (count - 2)}"
    return names[:count]


def write_report(report: Report, folder: str) -> list[str]:
    """Write all three files into `folder` and return their paths; two of them if there is no matplotlib."""
    os.makedirs(folder, exist_ok=True)
    written = [write_json(report, folder)]
    picture = os.path.join(folder, "report.png")
    try:
        plot(report, picture)
    except ImportError as problem:
        drawn = False
        if problem.name != "matplotlib":
            print(f"the plot is left out: {problem}", file=sys.stderr)
    else:
        drawn = True
        written.append(picture)
    text = os.path.join(folder, "report.md")
    with open(text, "w", encoding="utf-8") as stream:
        stream.write(to_markdown(report, drawn))
    return [*written, text]


def write_json(report: Report, folder: str) -> str:
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "report.json")
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(report, stream, indent=1, ensure_ascii=False)
        stream.write("\n")
    return path


# --- report.md ---


def to_markdown(report: Report, drawn: bool) -> str:
    totals = report["totals"]
    by_lines = sorted(report["packages"], key=lambda p: (-p["lines"], p["package"]))
    errors = [record for record in report["files"] if record["error"] is not None]
    parts = [
        f"# {totals['files']:,} Python files of `{report['source']}`",
        f"{totals['lines']:,} lines ({totals['size'] / 1000:,.0f} kB), {totals['functions']:,} functions, "
        f"{totals['packages']:,} packages. What was found out about each file is in `report.json`.",
        "![Three charts: lines, lengths of functions, most imported modules](report.png)"
        if drawn
        else "There is no plot, because matplotlib is not installed. To get it: `pip install matplotlib`, "
        f"then `python {os.path.abspath(__file__)} <this folder>`.",
        "## Largest packages",
        "Only what lies directly in the package's folder counts.",
        table(
            ["package", "modules", "lines", "functions", "about"],
            [[code(p["package"]), p["modules"], p["lines"], p["functions"], p["about"]] for p in by_lines[:TOP]],
        ),
        "## Longest functions",
        "The longest one of each file.",
        table(
            ["function", "file", "lines"],
            [[code(f["name"]), code(f["path"]), f["lines"]] for f in report["longest_functions"]],
        ),
        "## Most imported modules",
        table(
            ["module", "imported by files"],
            [[code(m["module"]), m["files"]] for m in report["most_imported"]],
        ),
        "## Lengths of functions",
        table(["lines", "functions"], [[name, n] for name, n in report["function_lengths"].items()]),
    ]
    if errors:
        parts += [
            "## Files that could not be read or parsed",
            table(["file", "why"], [[code(record["path"]), record["error"]] for record in errors]),
        ]
    if report["missing"]:
        parts += ["## Files without a result", "\n".join(f"* {code(path)}" for path in report["missing"])]
    return "\n\n".join(parts) + "\n"


def table(header: list[str], rows: list[list[Any]]) -> str:
    """A table in which numbers stand to the right."""
    if not rows:
        return "None."
    numbers = [isinstance(cell, int) for cell in rows[0]]
    lines = [header, ["---:" if number else "---" for number in numbers]]
    lines += [[show(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def show(cell: int | str) -> str:
    return f"{cell:,}" if isinstance(cell, int) else cell.replace("|", r"\|")


def code(text: str) -> str:
    return f"`{text}`"


# --- report.png ---

INK, FAINT, GRID = "#22303c", "#5d6b78", "#e4e8ec"
BLUE, ORANGE, GREEN = "#2f6db3", "#d9822b", "#3a8f6b"


def plot(report: Report, path: str) -> None:
    """Draw the picture. Raises ImportError if there is no matplotlib."""
    # Imported only here: it takes half a second, and the report has its worth without the picture too.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    totals = report["totals"]
    style: dict[Any, Any] = {
        "font.family": "DejaVu Sans",  # comes with matplotlib, so the picture is the same everywhere
        "font.size": 10,
        "text.color": INK,
        "text.parse_math": False,  # a file's name may hold "$"
        "axes.edgecolor": FAINT,
        "axes.labelcolor": FAINT,
        "axes.titlecolor": INK,
        "xtick.color": FAINT,
        "ytick.color": INK,
        "figure.constrained_layout.w_pad": 0.2,
        "figure.constrained_layout.h_pad": 0.15,
        "figure.constrained_layout.wspace": 0.03,
        "figure.constrained_layout.hspace": 0.05,
    }
    title = " · ".join(f"{totals[what]:,} {what}" for what in ("files", "lines", "functions"))
    with rc_context(style):
        figure = Figure(figsize=(12, 7.5), dpi=120, facecolor="white", layout="constrained")
        figure.suptitle(title, fontsize=16, fontweight="bold")
        grid = figure.add_gridspec(2, 2, width_ratios=[1, 1.1])
        draw_folders(figure.add_subplot(grid[:, 0]), report["files"])
        draw_lengths(figure.add_subplot(grid[0, 1]), report["function_lengths"])
        draw_imports(figure.add_subplot(grid[1, 1]), report["most_imported"][:10])
        figure.savefig(path)


def draw_folders(axes: Any, files: list[Record]) -> None:
    lines = Counter[str]()
    for record in files:
        folder, inside, _ = record["path"].partition("/")
        lines[folder if inside else "(single files)"] += record["lines"]
    # A file may be empty, and a logarithmic axis has no zero.
    largest = [(name, count) for name, count in lines.most_common(25) if count][::-1]
    names, counts = [shorten(name) for name, _ in largest], [count for _, count in largest]

    # Dots, not bars: one folder is often larger than all others together, so the axis is logarithmic, and on
    # such an axis the length of a bar says nothing.
    rows = range(len(counts))
    axes.hlines(rows, 0, 1, transform=axes.get_yaxis_transform(), color=GRID, linewidth=1, zorder=1)
    axes.scatter(counts, rows, s=48, color=BLUE, zorder=2)
    axes.set_xscale("log")
    if counts:
        # From power of ten to power of ten, with room for the last number.
        axes.set_xlim(10 ** (len(str(min(counts))) - 1), 10 ** len(str(2 * max(counts))))
    else:
        axes.set_xticks([])
    beside = {"xytext": (8, 0), "textcoords": "offset points", "va": "center"}
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # keeps the line off the number
    for row, count in zip(rows, counts, strict=True):
        axes.annotate(f"{count:,}", (count, row), **beside, bbox=paper, fontsize=8.5, color=FAINT)
    axes.set_ylim(len(counts) - max(len(counts), 12) - 0.8, len(counts) - 0.2)
    axes.set_yticks(rows, names)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_minor_formatter(lambda value, _: "")
    finish(axes, "Lines per top folder", "lines, logarithmic")
    axes.spines["left"].set_visible(False)


def draw_lengths(axes: Any, classes: dict[str, int]) -> None:
    bars = axes.bar(list(classes), list(classes.values()), width=0.86, color=ORANGE)
    axes.bar_label(bars, fmt="{:,.0f}", padding=2, fontsize=8, color=FAINT)
    axes.tick_params(axis="x", labelsize=8)
    # The upper end of each class is enough; whole names would run into each other.
    axes.set_xticks(range(len(classes)), [name.rpartition("-")[2].replace("over ", ">") for name in classes])
    axes.set_yticks([])
    axes.margins(y=0.12)
    finish(axes, "How long functions are", "lines of a function, up to")
    axes.spines["left"].set_visible(False)


def draw_imports(axes: Any, modules: list[dict[str, Any]]) -> None:
    rows = range(len(modules))
    bars = axes.barh(rows, [m["files"] for m in modules], height=0.72, color=GREEN)
    axes.bar_label(bars, fmt="{:,.0f}", padding=4, fontsize=8.5, color=FAINT)
    axes.set_yticks(rows, [shorten(m["module"]) for m in modules])
    axes.set_ylim(9.6, -0.6)
    axes.margins(x=0.1)
    axes.set_xticks([])
    finish(axes, "What is imported most", "files that import the module")
    axes.spines["bottom"].set_visible(False)


def shorten(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:12]}…{name[-11:]}"


def finish(axes: Any, title: str, xlabel: str) -> None:
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=10)
    axes.set_xlabel(xlabel)
    axes.tick_params(axis="both", which="both", length=0)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    (folder,) = sys.argv[1:]
    with open(os.path.join(folder, "report.json"), encoding="utf-8") as stream:
        print(*write_report(json.load(stream), folder), sep="\n")


if __name__ == "__main__":
    main()
