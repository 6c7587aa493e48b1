"""`python -m tests.simulation.programs.run`: seeds of whole programs, asked for and told as those of machines are."""

from __future__ import annotations

import sys
from typing import Final

from tests.simulation.programs.harm import HARM_NAMES
from tests.simulation.programs.story import WAR_SECONDS, play
from tests.simulation.run import Tier, main

PROGRAMS: Final = Tier("tests.simulation.programs.run", play, WAR_SECONDS, HARM_NAMES)

if __name__ == "__main__":
    sys.exit(main(tier=PROGRAMS))
