"""The same crawl by a plain loop over a site of its own, to compare with.

Usage: python plain_loop.py SOURCE FOLDER   # exit code 1 when FOLDER/report.json says something else
"""

import json
import re
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

from website import website


def crawl(url: str) -> dict[str, object]:
    pages: dict[str, list[str]] = {}
    dead: dict[str, list[str]] = {}
    todo, known = ["/"], {"/"}
    while todo:
        path = todo.pop()
        try:
            with urllib.request.urlopen(url.rstrip("/") + path) as answer:
                pages[path] = re.findall('href="(.*?)"', answer.read().decode())
        except urllib.error.HTTPError:
            dead[path] = []
            continue
        new = [link for link in pages[path] if link not in known]
        known.update(new)
        todo += new
    linked = Counter(link for links in pages.values() for link in links)
    for path, links in sorted(pages.items()):
        for link in dead.keys() & set(links):
            dead[link].append(path)
    popular = sorted(linked.items(), key=lambda item: (-item[1], item[0]))[:10]
    return {"pages": pages, "dead": dead, "popular": dict(popular)}


if __name__ == "__main__":
    site = website(sys.argv[1])
    threading.Thread(target=site.serve_forever, daemon=True).start()
    expected = crawl(f"http://127.0.0.1:{site.server_port}/")
    if json.loads(Path(sys.argv[2], "report.json").read_text("utf-8")) != expected:
        sys.exit(f"{sys.argv[2]}/report.json differs from a plain loop over the same site")
    print(f"the plain loop finds the same: {len(expected['pages'])} pages")  # type: ignore[arg-type]
