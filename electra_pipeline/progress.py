"""How a stage tells that it moves: it calls a `Progress`; who listens decides what to draw."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Update:
    """One sign of life: `done` of `total` `unit`s of a stage, with facts such as losses."""

    stage: str
    done: float
    total: float
    unit: str
    facts: Mapping[str, float | str] = field(default_factory=dict)

    def facts_text(self) -> str:
        """The facts on one line, numbers to four significant digits."""
        return "  ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in self.facts.items()
        )


Progress = Callable[[Update], None]


def silent(update: Update) -> None:
    """Show nothing."""
