"""`make constraints`: from pip's report to a file like `constraints/airflow-3.3.2.txt`, names and versions only."""

from __future__ import annotations

import json
import sys
from typing import Any


def main() -> None:
    found: dict[str, Any] = {
        one["metadata"]["name"].lower().replace("_", "-").replace(".", "-"): one["metadata"]
        for one in json.load(sys.stdin)["install"]
    }
    print(f"# Python {found['apache-airflow']['requires_python']}")
    for name in sorted(found):
        print(f"{name}=={found[name]['version']}")


if __name__ == "__main__":
    main()
