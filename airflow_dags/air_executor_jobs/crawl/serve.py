"""First task: start the site, queue its first page, and leave the server running for as long as the job does.

Usage: python serve.py SOURCE

A task that served until all others have ended would take a slot from them; with one slot, the only one.
"""

import contextlib
import os
import subprocess
import sys
import threading

from website import website

from air_executor import AirExecutorClient, errors, task

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page.py")


def start(source: str) -> str:
    """The address of a site in a process of its own, which listens by now."""
    process = subprocess.Popen([sys.executable, __file__, source, "stay"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process.stdout.readline().strip() or sys.exit("the site did not start")


def stay(source: str) -> None:
    """Serve until the job has ended, or its folder is gone."""
    site = website(source)
    print(f"http://127.0.0.1:{site.server_port}/", flush=True)
    os.dup2(2, 1)  # whoever reads the address does not read on
    threading.Thread(target=site.serve_forever, daemon=True).start()
    with contextlib.suppress(errors.NotFound):
        AirExecutorClient(task.base()).wait(task.job(), job_id=os.environ["AIR_EXECUTOR_RUN"])


def main() -> None:
    url = start(sys.argv[1])
    # The id is the address: a page that many others link to is fetched once.
    first = {"id": "/", "group": "pages", "command": sys.executable, "args": ["-I", "-S", PAGE, url, "/"]}
    task.queue([first])
    print(f"serving {url}")


if __name__ == "__main__":
    stay(sys.argv[1]) if sys.argv[2:] else main()
