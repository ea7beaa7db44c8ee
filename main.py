"""The main job from a checkout: python main.py --csv data/creators.csv"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "src"))

from reelscope.cli.app import main

if __name__ == "__main__":
    main()
