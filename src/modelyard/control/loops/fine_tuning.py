"""Fine-tuning jobs: when the first run of one has ended, queue its second."""

from typing import Final

from modelyard.control.platform import Platform
from modelyard.control.services import fine_tuning

_PAUSE: Final = 5.0


class FineTuningLoop:
    """`step` is called by one thread alone."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def step(self) -> float:
        fine_tuning.advance(self._platform)
        return _PAUSE
