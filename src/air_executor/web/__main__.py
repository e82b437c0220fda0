"""`python -m air_executor.web`: what `air-executor serve` becomes."""

from __future__ import annotations

import argparse
import os
import sys

from air_executor.errors import AirExecutorError

__all__ = ["main"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="air-executor serve", allow_abbrev=False)
    parser.add_argument("--base")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5001)
    for name in ("token-file", "read-token-file", "tls-cert", "tls-key", "index"):
        parser.add_argument(f"--{name}")
    given = parser.parse_args()
    try:
        from air_executor.web.server import make_access, serve

        access = make_access(given.host, given.token_file, given.read_token_file)
        serve(
            given.base,
            given.host,
            given.port,
            access,
            index=given.index,
            certificate=given.tls_cert,
            key=given.tls_key,
        )
    except AirExecutorError as error:
        print(f"air-executor: error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:  # of TLS files
        print(f"air-executor: error: {error.filename or 'the server'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code) if code == 0 else sys.exit(code)
