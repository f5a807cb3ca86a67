#!/bin/sh
# The published script's name and arguments: sh scripts/run_distribute_train.sh [DATA_PATH] [DEVICE_NUM]
# DATA_PATH is a records folder. The recipe is train.py's default; for another one use train_8p.sh.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/common.sh"
published 1 2 '[DATA_PATH] [DEVICE_NUM]' "$@"
DEVICES=${2:-8} exec sh "$root/scripts/train_8p.sh" "$1"
