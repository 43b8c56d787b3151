"""What a run leaves behind: one line of figures, and what is not as it must be."""

import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass


@dataclass
class Report(ABC):
    """The base of every run's figures. `seed` repeats its chances, not its moments."""

    seed: int

    @abstractmethod
    def faults(self) -> list[str]:
        """What is not as it must be; empty for a clean run."""

    def line(self) -> str:
        return json.dumps({**asdict(self), "faults": self.faults()})
