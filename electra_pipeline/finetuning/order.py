"""In which order legs run: a leg after its parent, and what keeps others waiting longest first."""

from collections.abc import Sequence

from electra_pipeline.finetuning.trial import Leg, place


def parents(legs: Sequence[Leg]) -> dict[int, int]:
    """For each leg whose parent is among the legs: its position, and that of its parent."""
    positions = {place(leg): index for index, leg in enumerate(legs)}
    found = {}
    for index, leg in enumerate(legs):
        if leg.parent is not None and (parent := positions.get(place(leg.parent))) is not None:
            found[index] = parent
    return found


def longest_first(legs: Sequence[Leg]) -> list[Leg]:
    """The legs, the longest first, so that no long one runs alone in the end.

    A leg is as long as it takes itself and then its longest child (list scheduling by critical
    path, Graham 1969, doi:10.1137/0117039).
    """
    after = parents(legs)
    longest = [leg.cost.operations for leg in legs]
    for index, leg in enumerate(legs):
        length = leg.cost.operations
        while index in after:
            index = after[index]
            length += legs[index].cost.operations
            longest[index] = max(longest[index], length)
    return [legs[index] for index in sorted(range(len(legs)), key=lambda i: -longest[i])]
