"""The faults that `plant_faults.py` plants are still to be planted."""

import ast

import pytest
from plant_faults import FAULTS, planted


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_has_one_place_and_is_a_program(fault):
    path, faulty, text = planted(fault)
    assert faulty != text
    ast.parse(faulty, path.name)


def test_no_two_faults_are_one():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert len({(fault.file, fault.old, fault.new) for fault in FAULTS}) == len(FAULTS)
