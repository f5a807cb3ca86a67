#!/bin/sh
# The published script's name and arguments: sh scripts/run_standalone_train.sh [DATA_PATH] [DEVICE_ID]
# DATA_PATH is a records folder. The recipe is train.py's default; for another one use train_1p.sh.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/common.sh"
published 1 2 '[DATA_PATH] [DEVICE_ID]' "$@"
DEVICE_ID=${2:-0} exec sh "$root/scripts/train_1p.sh" "$1"
