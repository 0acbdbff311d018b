"""The Python SDK."""

from modelyard.client.client import Client
from modelyard.client.data import DataOptions, Dataset
from modelyard.client.deployments import Deployment
from modelyard.client.keys import Key
from modelyard.client.models import Model
from modelyard.client.runs import Run
from modelyard.client.script import ScriptOptions

__all__ = ["Client", "DataOptions", "Dataset", "Deployment", "Key", "Model", "Run", "ScriptOptions"]
