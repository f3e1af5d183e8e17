"""Makes skl2onnx know the regressors: ``import fastbp.skl2onnx`` before converting.

A pipeline that ends in one is then converted as a whole, whatever its loss and activations.
"""

from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from skl2onnx.helpers.integration import add_onnx_graph

from fastbp.ensemble import BackpropEnsembleRegressor
from fastbp.estimator import BackpropRegressor
from fastbp.export.onnx import proto


def convert(scope, operator, container):
    """The graph that `to_onnx` writes, in the place of the operator."""
    is_double = isinstance(operator.inputs[0].type, DoubleTensorType)
    graph = proto(operator.raw_operator, "double" if is_double else "float")
    add_onnx_graph(scope, operator, container, graph)


def shapes(operator):
    """Said of the output: a column for each of the model's."""
    kind = type(operator.inputs[0].type)
    if kind not in (FloatTensorType, DoubleTensorType):
        raise TypeError(f"The table must be of floats or doubles, not {kind.__name__}.")
    n_rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = kind([n_rows, operator.raw_operator.n_outputs_])


for regressor in (BackpropRegressor, BackpropEnsembleRegressor):
    update_registered_converter(regressor, f"Fastbp{regressor.__name__}", shapes, convert)
