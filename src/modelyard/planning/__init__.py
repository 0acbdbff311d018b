"""What a deployment of a large language model needs, by stated arithmetic.

Memory, parallelism, network, time and cost. Nothing here runs a model. Every formula stands with its derivation or
source; what is assumed is said in the plan.
"""

from modelyard.planning.hardware import HARDWARE, Hardware
from modelyard.planning.plan import Plan, make_plan
from modelyard.planning.request import Request
from modelyard.planning.shapes import KNOWN, Shape

__all__ = ["HARDWARE", "KNOWN", "Hardware", "Plan", "Request", "Shape", "make_plan"]
