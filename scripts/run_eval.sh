#!/bin/sh
# The published script's name and arguments: sh scripts/run_eval.sh [DATA_PATH] [DEVICE_ID] [CKPT_PATH]
# DATA_PATH is a records folder. For more options use eval.sh.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/common.sh"
published 3 3 '[DATA_PATH] [DEVICE_ID] [CKPT_PATH]' "$@"
DEVICE_ID=$2 exec sh "$root/scripts/eval.sh" "$1" "$3"
