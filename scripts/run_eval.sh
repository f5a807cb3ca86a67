#!/bin/sh
# The published script's name and arguments: sh scripts/run_eval.sh [DATA_PATH] [DEVICE_ID] [CKPT_PATH]
# DATA_PATH is a records folder. For more options use eval.sh.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/common.sh"
if [ $# -ne 3 ]; then
    echo "usage: sh scripts/run_eval.sh [DATA_PATH] [DEVICE_ID] [CKPT_PATH]" >&2
    exit 2
fi
need_records "$1"
DEVICE_ID=$2 exec sh "$root/scripts/eval.sh" "$1" "$3"
