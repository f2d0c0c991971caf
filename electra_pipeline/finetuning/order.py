"""The order of trials: a trial after its parent, the longest chains first."""

from collections.abc import Sequence

from electra_pipeline.finetuning.trial import Trial, trial_uri


def parents(trials: Sequence[Trial]) -> dict[int, int]:
    """For each trial whose parent is among the trials: its position, and that of its parent."""
    positions = {trial_uri(trial): index for index, trial in enumerate(trials)}
    found = {}
    for index, trial in enumerate(trials):
        if (
            trial.parent is not None
            and (parent := positions.get(trial_uri(trial.parent))) is not None
        ):
            found[index] = parent
    return found


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
