"""How many threads a fit is worth: found by trying, while it trains.

A thread more takes its share of the work between two barriers, but what one processor has written
comes to another line by line (4 to 20 ns each), and all wait for the one whose processor a
neighbour has taken. A step of 8-128-128-1 with 64 samples took 1.5 to 4.6 times as long with two
threads as with one on machines of 2 and 16 cores; one of 128-1024-1024-1 with 1024 took 0.4 of its
time with eight. No list of processors says which it will be. The result is the same to the last
bit for any number of threads, so each call of a kernel may have another.
"""

from fastbp.fitting.team import Team

#: Seconds after which a pace is believed.
TRIAL = 0.005

#: Seconds, at the pace of other threads, of a first look at some: they may be ten times slower.
GLANCE = 0.0005

#: How much faster twice as many threads must be: they take processors from others.
GAIN = 1.1

#: How much faster than half as many they must stay.
GAIN_TO_STAY = 1.05

#: Seconds until the next trial, at first and at most: one that changes nothing doubles them.
REST, LONGEST_REST = 0.1, 2.0

#: Steps between two trials, at least: one of a long step takes a whole one, and twice its time.
STEPS_OF_REST = 60

#: Operations of a step that are surely worth all threads to begin with: some 10 ms of one.
LONG_STEP = 1e9

#: With how many threads training was fastest when such a one was last at rest: the next begins so.
remembered = {}


class Headcount:
    """The team of each call of a kernel: as many threads as have been the fastest.

    Parameters
    ----------
    team : Team
        The largest there may be. One that shares with nobody is what the user asked for, and is
        that of every call.
    of : tuple, default=None
        What training is like that may begin with the same number: its kernel, network and batch.
    flops : float, default=0
        Operations of a step.

    Attributes
    ----------
    team : Team
        That of the next call.
    pace : float
        Steps a second, as far as is known; 0 before the first call.
    """

    def __init__(self, team, of=None, flops=0.0):
        self.teams, self.paces, self.pace = {team.n_threads: team}, {}, 0.0
        most, self.of = team.n_threads, of
        known = remembered.get(of, most if flops > LONG_STEP else None)
        self.trials = trials(most, known) if team.shares else fixed(most)
        self.shares, self.listens = team.shares, team.listens
        self.turn_to(next(self.trials))

    def turn_to(self, what_next):
        """Begin with another number of threads, or go on, for so many seconds at least."""
        number, self.seconds_left = what_next
        if self.shares and self.of is not None and self.seconds_left >= REST:
            if len(remembered) > 1000:
                remembered.clear()
            remembered[self.of] = number
        if number not in self.teams:
            self.teams[number] = Team(number, shares=self.shares, listens=self.listens)
        self.team, self.pace = self.teams[number], self.paces.get(number, self.pace)
        self.steps = self.seconds = 0.0

    def seconds_of_call(self, most):
        """How long the next call should last."""
        return min(most, self.seconds_left or TRIAL)

    def note(self, steps, seconds):
        """A call of the team has made so many steps."""
        if not steps:
            return
        seconds = max(seconds, 1e-9)
        self.pace = self.paces[self.team.n_threads] = steps / seconds
        self.steps, self.seconds = self.steps + steps, self.seconds + seconds
        if self.seconds >= self.seconds_left:
            self.turn_to(self.trials.send(self.steps / self.seconds))


def fixed(number):
    """As `trials`, of one number."""
    while True:
        yield number, float("inf")


def trials(most, known=None):
    """Yields how many threads to work with and for how many seconds; is sent their pace.

    First one thread, then twice as many for as long as that pays; or first the number that is
    known. Later, now and then, twice or half as many.
    """
    if most == 1:
        yield from fixed(1)
    number, rest = min(known or 1, most), REST
    upwards = number == 1
    yield number, 0.0  # nothing is in a cache yet
    if known is not None:
        yield from at_rest(number, rest)
    while True:
        began_with = number
        while upwards and number < most:
            twice = min(2 * number, most)
            if not (yield from pays(number, twice, GAIN)):
                break
            number = twice
        while not upwards and number > 1:
            half = -(-number // 2)
            if not (yield from pays(number, half, 1 / GAIN_TO_STAY)):
                break
            number = half
        rest = REST if number != began_with else min(2 * rest, LONGEST_REST)
        upwards = not upwards if 1 < number < most else number == 1
        yield from at_rest(number, rest)


def at_rest(number, seconds):
    """No trials for so long; yields as `trials`."""
    pace = yield number, TRIAL
    yield number, max(seconds, STEPS_OF_REST / pace)


def pays(number, other, gain):
    """Whether another number of threads is faster by that factor; yields as `trials`."""
    pace = yield number, TRIAL
    is_quick = pace * TRIAL > 1  # a longer step is a trial by itself
    if is_quick:
        glance = yield other, GLANCE
        if gain < 1 and glance < gain * pace / 2:  # more threads than before first have to start
            return False
    if (yield other, TRIAL) < gain * pace:
        return False
    if is_quick:  # neighbours come and go
        pace = yield number, TRIAL
        return (yield other, TRIAL) >= gain * pace
    return True
