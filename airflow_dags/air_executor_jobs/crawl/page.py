"""The small task that runs over a thousand times: fetch a page and queue the pages it links to.

Usage: python -I -S page.py http://127.0.0.1:8000/ /json

It needs no library: its result is JSON in the file $AIR_EXECUTOR_RESULT, each further task a line of JSON appended to
the file $AIR_EXECUTOR_INBOX. Queueing an id again changes nothing, so nobody has to know which pages are known.
"""

import json
import os
import re
import socket
import sys

LINK = re.compile(r'<a href="(/[\w.:/-]+)">')


def fetch(url: str, path: str) -> tuple[int, str]:
    # By hand, for an own site: http.client would double the time this takes to start.
    host, port = url.removeprefix("http://").strip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body


def main() -> None:
    url, path = sys.argv[1:]
    status, text = fetch(url, path)
    if status != 200:
        sys.exit(f"{status} {path}")
    links = LINK.findall(text)
    with open(os.environ["AIR_EXECUTOR_INBOX"], "ab", buffering=0) as inbox:
        for link in links:
            page = {"id": link, "group": "pages", "command": sys.executable, "args": [*PROGRAM, url, link]}
            inbox.write(b"\n%b\n" % json.dumps(page).encode())  # a record a write, a newline first and last
    with open(os.environ["AIR_EXECUTOR_RESULT"], "w", encoding="utf-8") as result:
        json.dump({"links": links}, result)


PROGRAM = ["-I", "-S", os.path.abspath(__file__)]

if __name__ == "__main__":
    main()
