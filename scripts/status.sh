#!/bin/sh
# How the manager and all jobs are, or one job: scripts/status.sh [JOB] [--base FOLDER] [--json]
tool=$(cd "$(dirname "$0")/.." && pwd)/.venv/bin/air-executor
[ -x "$tool" ] || tool=air-executor
exec "$tool" status "$@"
