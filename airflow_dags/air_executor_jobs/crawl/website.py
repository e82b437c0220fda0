"""A site to crawl: a page for each module below a folder and for each class in it, with links to what it imports.

Usage: python website.py SOURCE   # by hand: serves it on 127.0.0.1 until Ctrl-C; SOURCE "": the standard library
"""

import contextlib
import html
import os
import re
import sys
import sysconfig
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

IMPORTED = re.compile(r"^\s*(?:import|from)\s+([A-Za-z_][\w.]*)", re.MULTILINE)
CLASS = re.compile(r"^class\s+([A-Za-z_]\w*)", re.MULTILINE)
LEFT_OUT = {"__pycache__", "site-packages", "dist-packages", "test", "tests"}


def modules(source: Path) -> dict[str, Path]:
    """Dotted name -> file."""
    found = {}
    for folder, subfolders, names in os.walk(source):
        subfolders[:] = set(subfolders) - LEFT_OUT
        for name in names:
            if name.endswith(".py"):
                *package, module = Path(folder, name).relative_to(source).with_suffix("").parts
                dotted = package if package and module == "__init__" else [*package, module]
                found[".".join(dotted)] = Path(folder, name)
    return found


class Site(BaseHTTPRequestHandler):
    pages: dict[str, Path]

    def do_GET(self) -> None:
        name, _, of_class = self.path.removeprefix("/").partition(":")
        if not name:
            self.answer(200, "All packages", {page.partition(".")[0] for page in self.pages})
            return
        text = self.pages[name].read_text("utf-8", "replace") if name in self.pages else ""
        classes = CLASS.findall(text)
        if of_class in classes:
            self.answer(200, f"{of_class} of {name}", {name})
        elif of_class or name not in self.pages:
            self.answer(404, "Not found", set())
        else:
            below = {page for page in self.pages if page.rpartition(".")[0] == name}
            links = below.union(IMPORTED.findall(text), (f"{name}:{one}" for one in classes))
            self.answer(200, name, links - {name})

    def answer(self, code: int, title: str, links: set[str]) -> None:
        items = "".join(f'<li><a href="/{html.escape(link)}">{html.escape(link)}</a>\n' for link in sorted(links))
        body = f"<!doctype html>\n<title>{html.escape(title)}</title>\n<ul>\n{items}</ul>\n".encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: a line a request is no news."""


def website(source: str) -> ThreadingHTTPServer:
    """The server, on a free port; it answers once `serve_forever` is called."""
    Site.pages = modules(Path(source or sysconfig.get_paths()["stdlib"]))
    ThreadingHTTPServer.request_queue_size = 128
    return ThreadingHTTPServer(("127.0.0.1", 0), Site)


if __name__ == "__main__":
    site = website(sys.argv[1])
    print(f"http://127.0.0.1:{site.server_port}/", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        site.serve_forever()
