"""Environments: what a script's requirements ask for, beside the platform's libraries and without touching them.

    environments.ensure(home.environments, text, print) -> the Python to start

An environment is a folder, environments/<digest>/, named by what makes it: the requirements, the version of Python
and the kind of machine. It is built once, and shared by runs and replicas.
"""

from modelyard.environments.build import ensure as ensure
from modelyard.environments.requirements import check as check
from modelyard.environments.requirements import digest as digest
from modelyard.environments.requirements import is_digest as is_digest
from modelyard.environments.requirements import read_file as read_file
from modelyard.environments.shelf import python_of as python_of
