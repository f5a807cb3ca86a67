#!/bin/sh
# Trains on the eight devices of this machine, one process each:
#
#   sh scripts/train_8p.sh [RECORDS] [options of train/train.py]
#   DEVICE_TARGET=CPU DEVICES=2 sh scripts/train_8p.sh work/records --recipe train/recipes/quick_cpu.yaml
#
# DEVICES says how many, HOSTS, HOST_RANK, MASTER_ADDR and MASTER_PORT which other machines train with it: see train/launch.py.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/scripts/common.sh"
DEVICES=${DEVICES:-8}
export DEVICES

case ${1:-} in
'' | -*) ;;
*)
    records=$1
    shift
    set -- --records "$records" "$@"
    ;;
esac
exec "$PYTHON" "$root/train/launch.py" "$@"
