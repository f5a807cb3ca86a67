#!/bin/sh
# Evaluates a checkpoint and writes its report:
#
#   sh scripts/eval.sh                            the newest run in work/runs, on the records in work/records
#   sh scripts/eval.sh RECORDS CKPT [options]     these; the options are eval/evaluate.py's, as --views 10x3
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/common.sh"
if [ $# -eq 1 ]; then
    echo "usage: sh scripts/eval.sh [RECORDS CKPT [options]]" >&2
    exit 2
fi
if [ $# -gt 0 ]; then
    records=$1
    checkpoint=$2
    shift 2
    set -- --records "$records" --checkpoint "$checkpoint" "$@"
fi
exec "$PYTHON" "$root/eval/evaluate.py" "$@"
