#!/bin/sh
# Octet's wheel into /opt/octet, beside the libraries that are there; out with what is never run in an image. The rest is
# compiled, since the file system will be read-only.
set -eu

cd /opt/octet
bin/pip install --no-cache-dir --no-compile --no-deps /build/*.whl
bin/pip uninstall --yes --quiet setuptools pip

# ONNX Runtime's library for C programs goes too, as Python has its own; and what binds it to TensorRT 10.
cd lib/python3*/site-packages
rm -rf onnx/backend/test/data onnxruntime/capi/libonnxruntime.so.* onnxruntime/capi/libonnxruntime_providers_tensorrt.so
find . -type d -name tests -prune -exec rm -rf {} +
/opt/octet/bin/python -m compileall -q -j 0 .
