"""Every peer trains the same network: equal weights and order, equal losses."""

import pytest
from agreement import check
from peers import fastbp, installed
from problems import PROBLEMS

OTHERS = {name: prepare for name, prepare in installed().items() if prepare is not fastbp}


@pytest.mark.parametrize("peer", OTHERS)
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def bench_losses_agree(problem, peer):
    check(problem, OTHERS[peer])
