"""Worlds, systems and logs that the tests of the simulation share."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
from scipy.special import ndtri

from lib.simulation import (
    System,
    World,
    ab_test,
    ab_tests,
    budgets,
    cascade,
    keyed_random,
    logs,
    match,
    matching,
    oracle_system,
    run_arm,
    sample_logs,
    truth,
    world,
    world_parameters,
)
from lib.simulation.keyed_random import normal, visit_keys


def small(**changes):
    return World(world_parameters("small", **changes))


def noisy(matched, sd):
    """A Pre-ranking that knows the truth up to noise: a model of a known quality."""
    noise = normal(visit_keys(0, "noise", matched.users, 0), matched.ads)
    return System(matched, (matched.log_ecpm + sd * noise).astype(np.float32))


def log_of(system, count, seed=0, **options):
    return pa.concat_tables(sample_logs(system, count, seed=seed, **options))


def columns(table, *names):
    return [table[name].to_numpy() for name in names]


def digests(table):
    """Name of a column -> digest of its bits."""
    found = {}
    for name in table.column_names:
        values = table[name].combine_chunks()
        values = values.indices if pa.types.is_dictionary(values.type) else values
        if pa.types.is_list(values.type) or pa.types.is_fixed_size_list(values.type):
            values = values.flatten()
        bits = values.to_numpy(zero_copy_only=False).tobytes()
        found[name] = hashlib.sha256(bits).hexdigest()[:8]
    return found


def all_digests():
    """Of a log of 4,096 impressions of the small world, and of an A/B test; name -> digest."""
    matched = match(small())
    system = noisy(matched, 0.5)
    base, variant = (run_arm(s, visits=3, seed=1) for s in (oracle_system(matched), system))
    row = repr(ab_test(base, variant).as_row()) + repr(ab_test(base, variant, bootstrap=50))
    return {
        **digests(log_of(system, 4096)),
        "organic": matched.world.organic.hex(),
        "A/B test": hashlib.sha256(row.encode()).hexdigest()[:8],
    }


class Perturbed:
    """NumPy as a module sees it, its inexact functions off by a relative `error`."""

    def __init__(self, seed, error):
        self._errors, self._error = np.random.default_rng(seed), error

    def __getattr__(self, name):
        function = getattr(np, name)
        if name in ("exp", "log", "cos", "sin", "quantile"):
            return lambda *args, **options: self.off(function(*args, **options))
        if name == "random":
            return SimpleNamespace(**{**vars(np.random), "default_rng": self._generator})
        return function

    def off(self, x):
        return x * (1 + self._error * self._errors.uniform(-1, 1, np.shape(x)))

    def _generator(self, *args):
        generator = np.random.default_rng(*args)
        names = [name for name in dir(generator) if name[0] != "_"]
        drawn = SimpleNamespace(**{name: getattr(generator, name) for name in names})
        for name in ("normal", "lognormal"):
            draw = getattr(generator, name)
            setattr(drawn, name, lambda *a, draw=draw, **options: self.off(draw(*a, **options)))
        return drawn


def perturb(monkeypatch, seed, error):
    """All inexact functions of the simulation, off by a relative error."""
    numpy = Perturbed(seed, error)
    for module in (ab_tests, budgets, cascade, logs, matching, truth, world):
        monkeypatch.setattr(module, "np", numpy)
    monkeypatch.setattr(keyed_random, "ndtri", lambda x: numpy.off(ndtri(x)))
