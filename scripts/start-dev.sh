#!/bin/sh
# Start a manager in the background; options are those of `air-executor start`.
tool=$(cd "$(dirname "$0")/.." && pwd)/.venv/bin/air-executor
[ -x "$tool" ] || tool=air-executor
exec "$tool" start "$@"
