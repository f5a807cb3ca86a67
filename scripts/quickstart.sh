#!/bin/sh
# The tour of the project: AVI clips to accuracy, on this machine's CPU.
#
#   sh scripts/quickstart.sh                          writes a small data set of its own first
#   sh scripts/quickstart.sh PATH ucf101|hmdb51       takes yours: PATH holds video/ and split/
#
# Safe to run again: what is installed, extracted and packed is kept, and a new network is trained.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
began=$(date +%s)

case $# in
0)
    dataset=ucf101
    work=$root/work/quickstart
    data=$work/shapes
    ;;
2)
    dataset=$2
    if [ ! -d "$1" ]; then
        echo "error: $1 does not exist: name the folder that holds video/ and split/" >&2
        exit 2
    fi
    data=$(CDPATH='' cd -- "$1" && pwd)
    work=$root/work/quickstart-$(basename -- "$data")
    ;;
*)
    echo "usage: sh scripts/quickstart.sh [PATH ucf101|hmdb51]" >&2
    exit 2
    ;;
esac

sh "$root/scripts/setup.sh" requirements.lock
python=$root/.venv/bin/python
export DEVICE_TARGET="${DEVICE_TARGET:-CPU}"
recipe=$root/train/recipes/quick_cpu.yaml
run=$work/runs/$(date +%Y%m%d-%H%M%S)

if [ $# -eq 0 ]; then
    echo "--- the data: AVI files of moving shapes, in UCF101's layout"
    "$python" "$root/scripts/make_shapes.py" --out "$data"
fi

echo "--- 1 preprocess: AVI to frame JPEGs"
"$python" "$root/preprocess/extract_frames.py" --dataset "$dataset" --root "$data" --out "$work/frames" \
    --short-side 128 --allow-missing --max-failures 100%

echo "--- 2 mindrecord: frame JPEGs to MindRecord shards"
"$python" "$root/mindrecord/build.py" --frames "$work/frames" --out "$work/records"

echo "--- 3 train: shards to a network"
"$python" "$root/train/train.py" --recipe "$recipe" --records "$work/records" --out "$run"

echo "--- 4 eval: network to a report"
"$python" "$root/eval/evaluate.py" --records "$work/records" --checkpoint "$run/last.ckpt" --out "$run/report" \
    --allow-missing

echo
"$python" "$root/scripts/summary.py" --frames "$work/frames" --records "$work/records" --run "$run" --report "$run/report"
echo "took $(($(date +%s) - began)) s"
