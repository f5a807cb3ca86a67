#!/bin/sh
# Trains on one device: sh scripts/train_1p.sh [RECORDS] [options of train/train.py]. DEVICE_ID names which.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
DEVICES=1 exec sh "$root/scripts/train_8p.sh" "$@"
