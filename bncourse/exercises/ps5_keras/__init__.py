"""Problem set 5, a layer and a model in Keras: its exercises and their known mistakes."""

from bncourse.exercises.ps5_keras.classifier import build_classifier
from bncourse.exercises.ps5_keras.layer import batch_normalization

EXERCISES = (batch_normalization, build_classifier)
