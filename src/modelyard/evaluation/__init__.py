"""Evaluation: figures over a split, by the path that serving takes, and a report of them."""

from modelyard.evaluation.evaluate import Evaluation, EvaluationOptions, evaluate
from modelyard.evaluation.interval import Bootstrap, bootstrap
from modelyard.evaluation.mistakes import Mistake
from modelyard.evaluation.report import write_report

__all__ = ["Bootstrap", "Evaluation", "EvaluationOptions", "Mistake", "bootstrap", "evaluate", "write_report"]
