"""The machine's ceiling: multiply-adds a second when nothing else is done.

A loop of independent chains a ← a·x + y that live in vector registers; no memory is touched.
A core starts two vectors of multiply-adds a cycle or so, and each takes about four cycles, so
that about eight chains must be under way at once; more than there are registers spill.
Run the file to see each number of chains, and what `np.dot` reaches beside it.

The chains are written as LLVM vectors by a Numba intrinsic: what a loop over an array would be
turned into is LLVM's choice, and a ceiling must not depend on it.
"""

import argparse
import platform
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from machine import cores, description
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

#: Chains that reach the ceiling: two units of four cycles need 8, the four of ARM cores 16.
CHAINS = 20 if platform.machine() in ("arm64", "aarch64") else 10

#: Turns of the loop between two looks at the clock: milliseconds.
TURNS = 1_000_000


def vector_bytes():
    """Bytes of the widest vector register."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64
    return 32 if features.get("avx") else 16


def lanes(dtype):
    return vector_bytes() // np.dtype(dtype).itemsize


@cache
def chains_kernel(dtype, chains):
    """kernel(turns) -> float, which does turns · chains · lanes multiply-adds in `dtype`."""
    loop = _chains_intrinsic(np.dtype(dtype), chains)

    @numba.njit(nogil=True)
    def kernel(turns):
        return loop(turns)

    kernel(1)
    return kernel


def _chains_intrinsic(dtype, chains):
    scalar = ir.FloatType() if dtype == np.float32 else ir.DoubleType()
    vector = ir.VectorType(scalar, lanes(dtype))

    def constant(x):
        return ir.Constant(vector, [ir.Constant(scalar, x)] * lanes(dtype))

    @intrinsic
    def loop(typingctx, turns):
        def emit(context, builder, signature, arguments):
            fma = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(vector, [vector] * 3),
                f"llvm.fma.v{lanes(dtype)}f{8 * dtype.itemsize}",
            )
            before = builder.block
            body, after = (builder.append_basic_block(name) for name in ("body", "after"))
            builder.branch(body)

            builder.position_at_end(body)
            turn = builder.phi(ir.IntType(64))
            turn.add_incoming(ir.Constant(ir.IntType(64), 0), before)
            accumulators = [builder.phi(vector) for _ in range(chains)]
            results = []
            for i, accumulator in enumerate(accumulators):
                accumulator.add_incoming(constant(float(i)), before)
                results.append(builder.call(fma, (accumulator, constant(0.5), constant(1.0))))
                accumulator.add_incoming(results[-1], body)
            following = builder.add(turn, ir.Constant(ir.IntType(64), 1))
            turn.add_incoming(following, body)
            builder.cbranch(builder.icmp_signed("<", following, arguments[0]), body, after)

            builder.position_at_end(after)
            total = results[0]
            for result in results[1:]:  # every chain is used, so that none is optimised away
                total = builder.fadd(total, result)
            first = builder.extract_element(total, ir.Constant(ir.IntType(32), 0))
            return first if dtype == np.float64 else builder.fpext(first, ir.DoubleType())

        return types.float64(types.int64), emit

    return loop


def gflops(dtype="float32", threads=1, seconds=0.2, chains=CHAINS):
    """GFLOP/s of `threads` threads together, over about `seconds`."""
    kernel = chains_kernel(np.dtype(dtype).name, chains)
    stop = time.perf_counter() + seconds

    def work(_):
        turns = 0
        while time.perf_counter() < stop:
            kernel(TURNS)
            turns += TURNS
        return turns

    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        turns = sum(pool.map(work, range(threads)))
    return 2 * turns * chains * lanes(dtype) / (time.perf_counter() - start) / 1e9


def dot_gflops(dtype, n=1024):
    """GFLOP/s of one `np.dot` of n × n matrices, on as many threads as NumPy's BLAS takes."""
    A = np.ones((n, n), dtype)
    start = time.perf_counter()
    A @ A
    return 2 * n**3 / (time.perf_counter() - start) / 1e9


def _row(name, measure, rounds):
    """A line of the table: the median of several rounds, and the best."""
    measure()
    values = [measure() for _ in range(rounds)]
    return f"| {name} | {statistics.median(values):.0f} | {max(values):.0f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print("| | GFLOP/s, median | best |\n| --- | ---: | ---: |")
    for dtype in ("float32", "float64"):
        for chains in (4, 8, 10, 12, 14, 24):
            name = f"{dtype}, 1 thread, {chains} chains"
            print(_row(name, lambda d=dtype, c=chains: gflops(d, 1, 0.1, c), options.rounds))
        name = f"{dtype}, {cores()} threads, {CHAINS} chains"
        print(_row(name, lambda d=dtype: gflops(d, cores(), 0.1), options.rounds))
        name = f"{dtype}, np.dot of 1024 × 1024"
        print(_row(name, lambda d=dtype: dot_gflops(d), options.rounds))
    print(f"\n{description()}")


if __name__ == "__main__":
    main()
