"""The order of trials: a trial after its parent, the longest chains first."""

from collections.abc import Sequence

from electra_pipeline.finetuning.trial import Trial, trial_uri


def parents(trials: Sequence[Trial]) -> dict[int, int]:
    """Map the position of each trial whose parent is among the trials to the parent's position."""
    positions = {trial_uri(trial): index for index, trial in enumerate(trials)}
    return {
        index: positions[uri]
        for index, trial in enumerate(trials)
        if trial.parent is not None and (uri := trial_uri(trial.parent)) in positions
    }


def longest_first(trials: Sequence[Trial]) -> list[Trial]:
    """Sort trials, the longest first, so that no long one runs alone at the end.

    The length of a trial is its own cost plus that of its longest chain of children (list
    scheduling by critical path, Graham 1969, doi:10.1137/0117039).
    """
    after = parents(trials)
    longest = [trial.estimate.operations for trial in trials]
    for index, trial in enumerate(trials):
        length = trial.estimate.operations
        while index in after:
            index = after[index]
            length += trials[index].estimate.operations
            longest[index] = max(longest[index], length)
    return [trials[index] for index in sorted(range(len(trials)), key=lambda i: -longest[i])]
