"""The kernels that train, the first that suits being the one."""

from fastbp.kernels.training.large import LARGE
from fastbp.kernels.training.narrow import NARROW
from fastbp.kernels.training.online import ONLINE
from fastbp.kernels.training.sparse import SPARSE
from fastbp.kernels.training.tiled import TILED

KERNELS = (SPARSE, ONLINE, LARGE, NARROW, TILED)


def kernel_for(net, batch_size, itemsize):
    """Which of the kernels trains: they are fast for different sizes."""
    return next(kernel for kernel in KERNELS if kernel.suits(net, batch_size, itemsize))
