"""Predicts what a model takes of a card before it is started: from the headers of its weights and how it is served."""

from node_agent.predict.errors import PredictError, WeightsMissing, WeightsUnreadable
from node_agent.predict.footprint import Prediction, predict
from node_agent.predict.serving import Serving

__all__ = [
    "PredictError",
    "Prediction",
    "Serving",
    "WeightsMissing",
    "WeightsUnreadable",
    "predict",
]
