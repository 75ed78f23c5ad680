"""Token tags in ONNX: :mod:`graph` makes a file of a model, :mod:`model` runs it."""
