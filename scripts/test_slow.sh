#!/bin/sh
# The long proofs: accuracy of the quickstart's recipe, what it loses when time is shuffled, and others marked slow.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
sh "$root/scripts/setup.sh" requirements.lock requirements-dev.lock requirements-cluster.lock requirements-extra.lock
cd "$root"
exec .venv/bin/python -m pytest -m slow "$@"
