"""Any model file as a graph, read without running what is in it.

reading            the formats: ONNX, Keras, SavedModel
inspection         what a file is, before long work
onnx_files         weights beside the file, operators, size
keras_files        the archive, its layers, its arrays
saved_models       the operators of every graph of a SavedModel
tensorflow_export  a function of TensorFlow as an ONNX file
trial              first requests, within a limit of time and memory
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"inspection": ["inspect_file"], "reading": ["load"], "trial": ["try_requests"]},
)
