"""The chapter on why to normalise, in PyTorch."""


def standardised_inputs(train, test):
    """Return both parts, standardised with the statistics of the training part.

    Args:
        train, test: (N, D) tensors; no column of ``train`` is constant.
    """
    mean = train.mean(dim=0)
    std = train.std(dim=0, correction=0)
    return (train - mean) / std, (test - mean) / std


def centre_inside(x):
    """Return x centred; the gradient flows through the mean too, as in (W11)."""
    return x - x.mean(dim=0)


def centre_outside(x):
    """Return x centred; the gradient believes that the mean is a constant. A mistake."""
    return x - x.mean(dim=0).detach()
