#!/bin/sh
# Makes .venv and installs a lock file into it, unless that is done already:  sh scripts/setup.sh requirements.lock ...
# PYTHON names the interpreter to use (3.11 or 3.12).
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv=$root/.venv

supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))'
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c "$supported" 2>/dev/null; then
    python=${PYTHON:-}
    for candidate in python3.11 python3.12 python3; do
        if [ -z "$python" ] && "$candidate" -c "$supported" 2>/dev/null; then
            python=$candidate
        fi
    done
    if [ -z "$python" ] || ! "$python" -c "$supported" 2>/dev/null; then
        echo "error: no Python 3.11 or 3.12 found, which MindSpore 2.10 needs: install one, or name it with PYTHON=..." >&2
        exit 2
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "error: $python cannot make virtual environments: run apt-get install python3-venv as root" >&2
        exit 2
    fi
    "$python" -m venv --clear "$venv"
fi

for lock in "$@"; do
    done_mark=$venv/installed-$lock
    if ! cmp -s "$root/$lock" "$done_mark"; then
        echo "installing $lock into $venv, which takes a minute or two"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes \
            --requirement "$root/$lock"
        cp "$root/$lock" "$done_mark"
    fi
done
