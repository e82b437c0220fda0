"""The small task that runs over a thousand times: have one model fitted by models.py, and hand in its score.

Usage: python -I -S fit.py SOCKET '{"model": 7, "candidate": {…}, "fold": 0, "folds": 2}'
"""

import json
import os
import socket
import sys


def main() -> None:
    path, fit = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(fit.encode() + b"\n")
        answer = json.loads(b"".join(iter(lambda: connection.recv(65536), b"")) or '{"error": "no answer"}')
    if "error" in answer:
        sys.exit(answer["error"])
    with open(os.environ["AIR_EXECUTOR_RESULT"], "w", encoding="utf-8") as file:
        json.dump({**json.loads(fit), **answer}, file)


if __name__ == "__main__":
    main()
