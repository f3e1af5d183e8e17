"""The command line; without ``--trial`` trials run in processes of their own, one after another."""

import argparse
import sys

from campaigns import runner


def main():
    parser = argparse.ArgumentParser(prog="python -m campaigns", description=__doc__)
    parser.add_argument("campaign", choices=[*runner.CAMPAIGNS, runner.ALL])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--trial", type=int, help="this one alone, in this process")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.trial is not None:
        print(runner.one(given.campaign, given.seed, given.trial))
        return 0
    numbers = range(given.first, given.first + given.trials)
    if given.worker:
        runner.work(given.campaign, given.seed, numbers)
        return 0
    faults, counts = runner.run(given.campaign, given.seed, numbers, say=print)
    print(f"{given.campaign}, seed {given.seed}: {given.trials} trials, {len(faults)} faults")
    for outcome, count in sorted(counts.items(), key=lambda item: -item[1]):
        print(f"{count:6}  {outcome}")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
