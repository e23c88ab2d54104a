# Octet's images: `cpu`, which is the default, and `gpu`. What runs is put together in stages of its own, by the hashes in
# requirements/; the images hold no compiler, no pip of ours and no tests. Their base is an argument, so that another
# build of Python 3.11 to 3.13 can take its place.
ARG PYTHON=python:3.12-slim

FROM ${PYTHON} AS tools
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements/build.txt ./
RUN python3 -m venv /opt/octet && /opt/octet/bin/pip install --require-hashes -r build.txt

FROM tools AS wheel
COPY LICENSE README.md pyproject.toml ./
COPY app app
COPY engines engines
COPY model_store model_store
RUN /opt/octet/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /build .

# What both images are but for their libraries: who runs in them, where the store lies, what is run.
FROM ${PYTHON} AS room
RUN groupadd --gid 10001 octet && useradd --uid 10001 --gid octet --no-create-home --home-dir /nonexistent octet \
    && install -d -o octet -g octet /var/lib/octet /var/lib/octet/cache /var/lib/octet/cache/plans
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
LABEL org.opencontainers.image.title="Octet" \
    org.opencontainers.image.description="Serves quantized models over REST" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="Apache-2.0"

FROM tools AS installed-cpu
# Which of requirements/*.txt: `serve`, or `openvino` or `litert` for variants that need those engines.
ARG REQUIREMENTS=serve
COPY requirements/${REQUIREMENTS}.txt ./
RUN /opt/octet/bin/pip install --require-hashes -r ${REQUIREMENTS}.txt
COPY --from=wheel /build/*.whl ./
COPY deploy/image/finish.sh ./
RUN ./finish.sh

FROM room AS cpu
COPY --from=installed-cpu /opt/octet /opt/octet
ARG REVISION=unknown
LABEL org.opencontainers.image.revision=${REVISION}

# CUDA's libraries come as NVIDIA's wheels, so the base is the same; the driver comes from the host. TensorRT comes from
# the index that is named, which is NVIDIA's or a mirror of yours; without one the image has none.
FROM tools AS installed-gpu
COPY requirements/gpu.txt ./
RUN /opt/octet/bin/pip install --require-hashes -r gpu.txt
ARG TENSORRT_INDEX=
ARG TENSORRT=11.4.0.106
RUN test -z "${TENSORRT_INDEX}" \
    || /opt/octet/bin/pip install --extra-index-url "${TENSORRT_INDEX}" "tensorrt==${TENSORRT}"
COPY --from=wheel /build/*.whl ./
COPY deploy/image/finish.sh ./
RUN ./finish.sh

FROM room AS gpu
COPY --from=installed-gpu /opt/octet /opt/octet
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
ARG REVISION=unknown
LABEL org.opencontainers.image.revision=${REVISION}

FROM cpu
