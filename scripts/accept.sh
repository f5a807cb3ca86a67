#!/bin/sh
# Whether this machine computes what it should, as a page to look at and to send:
#
#   sh scripts/accept.sh RECORDS [options of scripts/accept.py]
#   DEVICE_TARGET=CPU sh scripts/accept.sh work/records
#
# DEVICES says on how many ranks; by default on all NPUs, or on two CPU ranks.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/common.sh"
case ${1:-} in
'' | -*)
    echo "usage: sh scripts/accept.sh RECORDS [options]" >&2
    exit 2
    ;;
esac
need_records "$1"
records=$1
shift
exec "$PYTHON" "$root/scripts/accept.py" --records "$records" "$@"
