"""Packages of other programs, as small as they can be: descriptions in two formats, networks, and both in a zip."""

import json
import zipfile

import pytest

TILE = 32
SIGMOID, ZSCORE = {"id": "sigmoid"}, {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["channel", "y", "x"]}}
RANGE = {
    "id": "scale_range",
    "kwargs": {"axes": ["channel", "y", "x"], "min_percentile": 1.0, "max_percentile": 99.0},
}


def network(*, operator="Identity", channels=1, results=1, size="side"):
    """Return an ONNX file that gives what it sees, or what `operator` makes of it."""
    onnx = pytest.importorskip("onnx")
    of = onnx.TensorProto.FLOAT
    shape = ["batch", channels, size, size]
    nodes = [onnx.helper.make_node("ReduceMean", ["seen"], ["gray"], axes=[1], keepdims=1)]
    nodes.append(onnx.helper.make_node(operator, ["gray"], ["found"]))
    graph = onnx.helper.make_graph(
        nodes,
        "cells",
        [onnx.helper.make_tensor_value_info("seen", of, shape)],
        [onnx.helper.make_tensor_value_info("found", of, ["batch", results, size, size])],
    )
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8
    ).SerializeToString()


def axes(channels=1, size=None, z=False):
    space = [{"type": "space", "id": name, "size": size or TILE} for name in (["z"] if z else []) + ["y", "x"]]
    return [{"type": "batch"}, {"type": "channel", "channel_names": [f"c{n}" for n in range(channels)]}, *space]


def described(*, before=(ZSCORE,), after=(SIGMOID,), channels=1, size=None, **changes):
    """Return a description of a package, with `changes` of its parts."""
    result = [{"type": "space", "id": name, "size": {"tensor_id": "seen", "axis_id": name}} for name in "yx"]
    return {
        "type": "model",
        "format_version": "0.5.4",
        "name": "cells of others",
        "description": "finds cells",
        "authors": [{"name": "Ada"}],
        "cite": [{"text": "Ada, On cells", "doi": "10.1234/cells"}],
        "license": "MIT",
        "inputs": [
            {
                "id": "seen",
                "axes": axes(channels, size),
                "data": {"type": "float32"},
                "test_tensor": {"source": "test.npy"},
                "preprocessing": list(before),
            }
        ],
        "outputs": [
            {
                "id": "found",
                "axes": [*axes()[:2], *result],
                "data": {"type": "float32"},
                "test_tensor": {"source": "test.npy"},
                "postprocessing": list(after),
            }
        ],
        "weights": {"onnx": {"source": "weights.onnx", "opset_version": 13}},
        **changes,
    }


OLD_RANGE = {
    "name": "scale_range",
    "kwargs": {"axes": "yx", "mode": "per_sample", "min_percentile": 1.0, "max_percentile": 99.0},
}


def described_of_old(*, before=(OLD_RANGE,), shape=(1, 1, TILE, TILE)):
    """Return a description in format 0.4, whose result is as large as what is seen."""
    same = {"reference_tensor": "seen", "scale": [1.0, 1.0, 1.0, 1.0], "offset": [0, 0, 0, 0]}
    tensor = {"axes": "bcyx", "data_type": "float32"}
    about = {name: value for name, value in described().items() if name not in ("inputs", "outputs", "format_version")}
    return {
        **about,
        "format_version": "0.4.10",
        "inputs": [{"name": "seen", **tensor, "shape": shape, "preprocessing": list(before)}],
        "outputs": [{"name": "found", **tensor, "shape": same, "postprocessing": [{"name": "sigmoid"}]}],
        "test_inputs": ["test.npy"],
        "test_outputs": ["test.npy"],
        "documentation": "test.md",
        "timestamp": "2024-01-01T00:00:00",
    }


def write_package(path, description=None, weights=None, **files):
    """Write a package with `files` besides, or instead, and return its path."""
    contents = {"rdf.yaml": json.dumps(description or described()), "weights.onnx": weights or network(), **files}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path
