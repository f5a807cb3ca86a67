"""Frames to MindRecord shards: the second stage.

python mindrecord/build.py --frames work/frames --out work/records
python mindrecord/build.py --from-videos --dataset ucf101 --root data/UCF101 --out work/records
python mindrecord/build.py --dataset imagenet --root data/ImageNet --out work/images
"""

import sys
from pathlib import Path

if __name__ == "__main__":  # worker processes import this file too, under another name, and need none of what follows
    # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

    from mindrecord.build_records import main, parse
    from preprocess.common import cli

    cli.run_parsed(main, parse)
