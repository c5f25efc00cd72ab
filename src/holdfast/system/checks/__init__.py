"""What is wrong with a declaration: every problem in one report, each with its remedy."""

from holdfast.system.checks.deploy import deploy_problems
from holdfast.system.checks.reading import PATH_NAME, where
from holdfast.system.checks.report import problems_of
from holdfast.system.checks.sending import may_send
from holdfast.system.checks.services import name_problems

__all__ = ["PATH_NAME", "deploy_problems", "may_send", "name_problems", "problems_of", "where"]
