"""What runs tell: their tables read together, and everything that a report or a figure says of them."""

from benchmark.findings.answer import Answer
from benchmark.findings.boards import ALL, OWN, Boards
from benchmark.findings.contest import Contest
from benchmark.findings.findings import Findings, read
from benchmark.findings.tables import Run

__all__ = ["ALL", "OWN", "Answer", "Boards", "Contest", "Findings", "Run", "read"]
