"""Vector instructions, as LLVM IR: what the tiles of products are written with."""

from contextlib import contextmanager

from llvmlite import ir
from numba.core import cgutils
from numba.np.arrayobj import make_array

from fastbp.kernels.machine.bounds import check
from fastbp.kernels.machine.calls import call
from fastbp.kernels.machine.compile import CHECKED
from fastbp.kernels.machine.vectors import LANES, Numbers


class Emitter:
    """Vector instructions for the elements of one array type."""

    def __init__(self, context, builder, dtype):
        self.context, self.builder, self.dtype = context, builder, dtype
        self.element = context.get_data_type(dtype)
        self.bytes = dtype.bitwidth // 8
        self.lanes = LANES * 4 // self.bytes
        self.type = ir.VectorType(self.element, self.lanes)
        # Fused where the processor can, else a product and a sum.
        self._multiply_add = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(self.type, [self.type] * 3),
            f"llvm.fmuladd.v{self.lanes}f{dtype.bitwidth}",
        )

    def pointer(self, array_type, array, offset, *extents, when=None):
        """The address of an element.

        Parameters
        ----------
        *extents : tuple of (how many, stride in elements)
            What is read or written from there on, which is `check`ed.
        when : tuple of an integer comparison, optional
            Else nothing is read or written.
        """
        array = make_array(array_type)(self.context, self.builder, array)
        if CHECKED:
            self._check(array, offset, extents, when)
        return self.builder.gep(array.data, [offset])

    def _check(self, array, offset, extents, when):
        builder, number = self.builder, ir.IntType(64)
        size = number(1)
        for count, stride in extents:
            steps = number(count - 1) if isinstance(count, int) else builder.sub(count, number(1))
            stride = number(stride) if isinstance(stride, int) else stride
            size = builder.add(size, builder.mul(steps, stride))
        if when is not None:
            is_so = builder.icmp_signed(*when)
            offset, size = (builder.select(is_so, each, number(0)) for each in (offset, size))
        check(self.context, builder, "a tile", offset, size, array.nitems)

    def at(self, pointer, offset):
        """The address `offset` (a number, or a value) elements further."""
        if isinstance(offset, int):
            offset = ir.Constant(ir.IntType(64), offset)
        return self.builder.gep(pointer, [offset])

    def apart(self, pointer):
        """The same address, as far from others as LLVM knows: it would keep one of them, and
        compute the distances from it anew in every turn of a loop."""
        to = ir.FunctionType(pointer.type, [pointer.type])
        return self.builder.call(ir.InlineAsm(to, "", "=r,0"), [pointer])

    def load(self, pointer, type=None):
        type = type or self.type
        value = self.builder.load(self.builder.bitcast(pointer, type.as_pointer()))
        value.align = self.bytes
        return value

    def store(self, value, pointer):
        to = self.builder.bitcast(pointer, value.type.as_pointer())
        self.builder.store(value, to).align = self.bytes

    def broadcast(self, number):
        none = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(none, number, ir.IntType(32)(0))
        return self.shuffle(first, none, [0] * self.lanes)

    def shuffle(self, x, y, lanes):
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
        return self.builder.shuffle_vector(x, y, mask)

    def store_turned(self, rows, pointer, stride, resumed=None, group=1):
        """Store the columns of a square of `rows`, or of two squares side by side; see `put`.

        What is turned are single numbers, or groups of so many.
        """
        # Swap the off-diagonal halves of ever larger squares.
        half = 1
        while half < len(rows):
            for r in range(len(rows)):
                if not r & half:
                    pair = rows[r], rows[r + half]
                    rows[r], rows[r + half] = self._swap_halves(*pair, half * group)
            half *= 2
        for r, row in enumerate(rows):
            place = self.at(pointer, self.builder.mul(stride, stride.type(r)))
            self.store(row, place) if resumed is None else self.put(row, place, resumed)

    def _swap_halves(self, x, y, half):
        """x and y, every second run of `half` lanes of x exchanged for the run before it of y."""
        first = [j if not j & half else self.lanes + j - half for j in range(self.lanes)]
        second = [j + half if not j & half else self.lanes + j for j in range(self.lanes)]
        return self.shuffle(x, y, first), self.shuffle(x, y, second)

    def zeros(self, rows, columns):
        """Places in registers for so many sums, which are 0."""
        return [
            [cgutils.alloca_once_value(self.builder, ir.Constant(self.type, None)) for _ in columns]
            for _ in rows
        ]

    def add_product(self, x, y, total):
        """Add x·y to the sum in the place `total`."""
        load, call = self.builder.load, self.builder.call
        self.builder.store(call(self._multiply_add, [x, y, load(total)]), total)

    def apply(self, formula, *vectors):
        """A formula of numbers, a kernel, for vectors of them."""
        kinds = [Numbers(self.dtype, self.lanes)] * len(vectors)
        return call(self.context, self.builder, formula, kinds, vectors)

    @contextmanager
    def loop(self, stop, step, *moving):
        """``for i in range(0, stop, step)``, with pointers that move on by a stride each time.

        Parameters
        ----------
        *moving : tuple of (pointer, stride in elements)

        Yields
        ------
        i, and where each pointer is
        """
        builder, number = self.builder, stop.type
        with builder.if_then(builder.icmp_signed(">", stop, number(0))):
            before, body = builder.block, builder.append_basic_block("loop")
            builder.branch(body)
            builder.position_at_end(body)
            here = [builder.phi(number), *(builder.phi(start.type) for start, _ in moving)]
            yield here[0], here[1:]
            further = [
                builder.add(here[0], number(step)),
                *(self.at(p, stride) for p, (_, stride) in zip(here[1:], moving, strict=True)),
            ]
            starts = [number(0), *(start for start, _ in moving)]
            for phi, start, then in zip(here, starts, further, strict=True):
                phi.add_incoming(start, before)
                phi.add_incoming(then, builder.block)
            after = builder.append_basic_block("after")
            more = builder.icmp_signed("<", further[0], stop)
            builder.cbranch(more, body, after)
            builder.position_at_end(after)

    def put(self, values, pointer, resumed):
        """Store a number or a vector, added to what is there if `resumed`."""
        there = self.load(pointer, values.type)
        there = self.builder.select(resumed, there, ir.Constant(values.type, None))
        self.store(self.builder.fadd(there, values), pointer)

    def sum(self, x):
        """The sum over the lanes of one vector."""
        return self.builder.extract_element(self._over_groups(x, 1), ir.IntType(32)(0))

    def sums(self, four):
        """One vector of the four sums over the lanes of `four` vectors.

        Neighbours are added within 128-bit groups, which is what processors can do cheaply;
        groups are added last.
        """
        group = 16 // self.bytes
        pairs = [self._pairwise(*four[:2], group), self._pairwise(*four[2:], group)]
        if group == 4:
            return self._over_groups(self._pairwise(*pairs, group), 4)
        left, right = (self._over_groups(pair, 2) for pair in pairs)
        return self.shuffle(left, right, [0, 1, 2, 3])

    def _pairwise(self, x, y, group):
        even = [
            source + first + i
            for first in range(0, self.lanes, group)
            for source in (0, self.lanes)
            for i in range(0, group, 2)
        ]
        odd = [lane + 1 for lane in even]
        return self.builder.fadd(self.shuffle(x, y, even), self.shuffle(x, y, odd))

    def _over_groups(self, x, group):
        while x.type.count > group:
            half = x.type.count // 2
            x = self.builder.fadd(
                self.shuffle(x, x, list(range(half))),
                self.shuffle(x, x, list(range(half, 2 * half))),
            )
        return x
