# syntax=docker/dockerfile:1
# Octet's image. The first stage installs, by the hashes in requirements/; the second holds what runs: no compiler, no
# pip, no tests. The base of both is an argument, so that another build of Python can take its place.
ARG PYTHON=python:3.12-slim

FROM ${PYTHON} AS installed
# Which of requirements/*.txt: `serve`, or `openvino` or `litert` for variants that need those engines.
ARG REQUIREMENTS=serve
WORKDIR /build
RUN python3 -m venv /opt/octet
COPY requirements/build.txt requirements/${REQUIREMENTS}.txt ./
RUN /opt/octet/bin/pip install --no-cache-dir --no-compile --require-hashes -r build.txt -r ${REQUIREMENTS}.txt
COPY LICENSE README.md pyproject.toml ./
COPY app app
COPY engines engines
COPY model_store model_store
RUN /opt/octet/bin/pip install --no-cache-dir --no-compile --no-deps --no-build-isolation .
# Out goes what is never run in here (ONNX Runtime's library for C programs among it: Python has its own); the rest is
# compiled, since the file system will be read-only.
RUN /opt/octet/bin/pip uninstall --yes --quiet setuptools pip \
    && cd /opt/octet/lib/python3*/site-packages \
    && rm -rf onnx/backend/test/data onnxruntime/capi/libonnxruntime.so.* \
    && find . -type d -name tests -prune -exec rm -rf {} + \
    && /opt/octet/bin/python -m compileall -q -j 0 .

FROM ${PYTHON} AS cpu
LABEL org.opencontainers.image.title="Octet" \
    org.opencontainers.image.description="Serves quantized models over REST" \
    org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 octet && useradd --uid 10001 --gid octet --no-create-home --home-dir /nonexistent octet \
    && install -d -o octet -g octet /var/lib/octet
COPY --from=installed /opt/octet /opt/octet
COPY examples/digits/digits.onnx examples/digits/metadata.json /opt/octet/digits/
ENV PATH=/opt/octet/bin:$PATH \
    OCTET_HOST=0.0.0.0 \
    OCTET_STORE=/var/lib/octet \
    OCTET_LOG_FORMAT=json
USER octet
VOLUME /var/lib/octet
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 CMD ["octet", "health"]
ENTRYPOINT ["octet"]
CMD ["serve"]
