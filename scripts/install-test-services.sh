#!/bin/sh
# Installs what the tests use beside Python packages: Chromium for the dashboard, PostgreSQL for history, Prometheus for
# metrics, bubblewrap, git and Rust's tools for fixing. Quick when they are there. Without apt, or without the right to
# use it, install them yourself: tests that need what is missing are skipped (Chromium) or fail and name this script.
set -eu

missing=
for pair in chromium:chromium promtool:prometheus bwrap:bubblewrap git:git; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
# Those of a user's own, which rustup keeps in his home, are not what the tests run.
for pair in cargo:cargo cargo-clippy:rust-clippy rustfmt:rustfmt; do
    [ -x "/usr/bin/${pair%%:*}" ] || [ -x "/usr/local/bin/${pair%%:*}" ] || missing="$missing ${pair#*:}"
done
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
# Debian's Python comes without its own tests, which one of the examples runs.
if [ -x .venv/bin/python ]; then
    missing="$missing$(.venv/bin/python -c '
import os, sys, sysconfig
if sys.base_prefix == "/usr" and not os.path.exists(sysconfig.get_paths()["stdlib"] + "/test/test_enum.py"):
    print(" libpython%d.%d-testsuite" % sys.version_info[:2])')"
fi
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "install-test-services: not a Debian system; install yourself:$missing" >&2
    exit 0
fi
if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "install-test-services: neither root nor sudo; install yourself:$missing" >&2
    exit 0
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# The list of packages is brought up to date only if it does not know them, or knows a version that is gone.
$as_root apt-get install -y --no-install-recommends $missing >"$log" 2>&1 ||
    { $as_root apt-get update >>"$log" 2>&1 && $as_root apt-get install -y --no-install-recommends $missing >>"$log" 2>&1; } ||
    { cat "$log" >&2; exit 1; }
