"""Checks that every method passes: of a method of one's own in one's own tests, or on the command line.

    from methods.checks import parametrize_with_checks


    @parametrize_with_checks([my_method, "gradient"])
    def test_method(method, check):
        check(method)

``plumbline check-method mine:my_method`` says the same as a table. A check sees what the method returns and
leaves behind, on small networks with random weights; whether it finds what is important, a run says.
"""

from methods.checks.calling import CheckError
from methods.checks.running import CHECKS, Finding, parametrize_with_checks, run_checks

__all__ = ["CHECKS", "CheckError", "Finding", "parametrize_with_checks", "run_checks"]
