"""What is said of weights whose use of memory cannot be worked out."""

from kit.errors import KitError


class PredictError(KitError):
    """The base: nothing is started whose footprint is unknown, unless the catalogue declares it."""

    code, status = "node.weights_unpredictable", 422
    reason = "How much memory these weights take cannot be worked out."
    fix = "Declare the footprint in models.yaml, or use weights whose header says more."


class WeightsMissing(PredictError):
    """There is no such file or folder, or a part of it is missing."""

    code, status = "node.weights_missing", 422
    reason = "The weights are not where the catalogue says."
    fix = "Put them there, or correct the path in models.yaml."


class WeightsUnreadable(PredictError):
    """The header is cut off, contradicts itself or goes beyond the limits."""

    code, status = "node.weights_unreadable", 422
    reason = "The header of these weights cannot be read."
    fix = "Fetch the file again and compare its checksum."
