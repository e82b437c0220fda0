#!/bin/sh
# Stop the manager; options are those of `air-executor stop`.
tool=$(cd "$(dirname "$0")/.." && pwd)/.venv/bin/air-executor
[ -x "$tool" ] || tool=air-executor
exec "$tool" stop "$@"
