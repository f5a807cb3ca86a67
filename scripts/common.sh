# What the launch scripts share; read in with `.`, with $root set.
# shellcheck disable=SC2154 # root: whoever reads this in sets it

# The interpreter: PYTHON, else the environment that setup.sh made, else the one on the PATH.
if [ -z "${PYTHON:-}" ]; then
    PYTHON=$root/.venv/bin/python
    [ -x "$PYTHON" ] || PYTHON=python3
fi

# published LEAST MOST ARGUMENTS "$@": ends with code 2 unless a script of a published name was given from LEAST to MOST
# arguments, the first of them a records folder. ARGUMENTS is what its usage calls them.
published() {
    least=$1
    most=$2
    arguments=$3
    shift 3
    if [ $# -lt "$least" ] || [ $# -gt "$most" ]; then
        echo "usage: sh scripts/$(basename -- "$0") $arguments" >&2
        exit 2
    fi
    need_records "$1"
}

# need_records PATH: ends with code 2 unless PATH is a records folder; given a raw data set, says what makes one of it.
need_records() {
    [ ! -f "$1/manifest.json" ] || return 0
    if [ -d "$1/train" ] && [ -d "$1/val" ]; then
        echo "error: $1 is a raw data set; this packs it:" >&2
        echo "    python mindrecord/build.py --dataset imagenet --root $1 --out work/records" >&2
    elif [ -d "$1/video" ]; then
        dataset=folder
        for list in "$1"/split/*_test_split1.txt; do
            [ ! -f "$list" ] || dataset=hmdb51
        done
        [ ! -f "$1/split/classInd.txt" ] || dataset=ucf101
        echo "error: $1 is a raw data set; these two commands make a records folder of it:" >&2
        echo "    python preprocess/extract_frames.py --dataset $dataset --root $1 --out work/frames" >&2
        echo "    python mindrecord/build.py --frames work/frames --out work/records" >&2
    else
        echo "error: $1 is no records folder (it has no manifest.json): name the one that mindrecord/build.py wrote" >&2
    fi
    exit 2
}
