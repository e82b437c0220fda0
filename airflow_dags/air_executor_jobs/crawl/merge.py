"""When no page is left: who links to whom, and which links are dead.

Usage: python merge.py FOLDER   # writes report.json there
"""

import json
import sys
from pathlib import Path

from air_executor import task


def main() -> None:
    pages = {path: page["links"] for path, page in task.results(group="pages").items()}
    linked_from: dict[str, list[str]] = {}
    for path, links in sorted(pages.items()):
        for link in links:
            linked_from.setdefault(link, []).append(path)
    dead = {path: linked_from[path] for path in sorted(linked_from.keys() - pages.keys())}
    popular = sorted(linked_from, key=lambda path: (-len(linked_from[path]), path))[:10]
    report = {
        "pages": dict(sorted(pages.items())),
        "dead": dead,
        "popular": {path: len(linked_from[path]) for path in popular},
    }
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(report, indent=1), "utf-8")
    task.result({"pages": len(pages), "dead": len(dead), "popular": report["popular"]})
    print(f"{len(pages)} pages, {len(dead)} dead links")


if __name__ == "__main__":
    main()
