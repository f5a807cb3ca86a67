#!/bin/sh
# Sets up as the quickstart does, then checks everything:  sh scripts/test.sh [pytest's arguments]
# Tests marked slow are left out; sh scripts/test_slow.sh runs those.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
sh "$root/scripts/setup.sh" requirements.lock requirements-dev.lock requirements-cluster.lock requirements-extra.lock
cd "$root"
bin=.venv/bin
PATH=$root/$bin:$PATH
export PATH

echo "--- ruff";        ruff check .
echo "--- format";      ruff format --check .
echo "--- mypy";        mypy
echo "--- imports";     lint-imports
if command -v shellcheck >/dev/null; then
    echo "--- shellcheck";  shellcheck --shell=sh scripts/*.sh .ci/run
else
    echo "--- shellcheck is left out: it has no wheel for this machine"
fi
echo "--- pytest";      python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile "$@"
