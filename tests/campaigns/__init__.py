"""Campaigns: thousands of random trials of what a user may hand over, or do.

A trial is drawn from a seed and its number alone, and is run in a process that may crash or hang.

    cd tests
    python -m campaigns fits --seed 0 --trials 5000     one campaign
    python -m campaigns fits --seed 0 --trial 17        a trial of it again, in this process
    python -m campaigns all --trials 30                 a few trials of each, as in every test run
    pytest --campaigns test_campaigns.py                all, in their long form: 7,500 fits, hours

- `fits`: networks, settings, tables in every form and magnitude; guard pages around arrays.
- `files`: models' files that were altered.
- `saves`: SIGKILL while a model is saved.
- `ctrl_c`: Ctrl-C while anything runs.
- `caches`: damaged machine code.
"""
