"""Videos to frame JPEGs: the first stage.

python preprocess/extract_frames.py --dataset ucf101 --root data/UCF101 --out work/frames
python preprocess/extract_frames.py --dataset folder --root my_videos --out work/mine --short-side 128
"""

import sys
from pathlib import Path

if __name__ == "__main__":  # worker processes import this file too, under another name, and need none of what follows
    # a script's own folder comes first on the path; the project's root belongs there
    sys.path[0] = str(Path(__file__).resolve().parents[1])

    from preprocess.workers.forkserver import preload

    preload("preprocess.extract_video", "preprocess.decoding.pyav_backend", "preprocess.workers.processes")

    from preprocess.common import cli
    from preprocess.extract_dataset import Options, main

    cli.run(main, Options)
