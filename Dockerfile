# Reelscope in a container: docs/docker.md. Targets: runtime (the main job), notebook (Jupyter).
#
# The base is chosen by faster-whisper: CTranslate2 looks for CUDA 12's cuBLAS, which this base
# brings; torch's wheels bring CUDA 13 themselves. On the processor any Debian or Ubuntu does.
ARG BASE_IMAGE=nvidia/cuda:12.9.1-runtime-ubuntu24.04

# --- system: Python 3.11, libraries, a user without rights --------------------------------
FROM ${BASE_IMAGE} AS system
# playwright: its Chromium, from its own servers; debian: the distribution's; none: no crawl.
ARG BROWSER=playwright
ARG UID=1000
ARG GID=1000
RUN --mount=type=bind,source=docker/install_system.sh,target=/tmp/install_system.sh \
    sh /tmp/install_system.sh "${BROWSER}" "${UID}" "${GID}"
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONUNBUFFERED=1

# --- wheel: the package itself; what builds it stays here ---------------------------------
FROM system AS wheel
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=pip_cert,target=/etc/pip-cert.pem \
    --mount=type=cache,target=/root/.cache/pip \
    python3.11 -m venv venv && venv/bin/pip wheel --quiet --no-deps --wheel-dir /wheels .

# --- runtime: the main job ----------------------------------------------------------------
FROM system AS runtime
ARG BROWSER=playwright
ARG REQUIREMENTS=requirements.txt
# Where torch without CUDA comes from; empty: torch with CUDA, as pinned.
ARG TORCH_INDEX=
COPY ${REQUIREMENTS} /opt/requirements.txt
# The packages are installed here and not copied from another stage: they are 7 GB, and a copy
# would be kept, and made, twice.
RUN --mount=type=bind,source=docker/install_packages.sh,target=/tmp/install_packages.sh \
    --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=pip_cert,target=/etc/pip-cert.pem \
    --mount=type=cache,target=/root/.cache/pip \
    sh /tmp/install_packages.sh /opt/requirements.txt "${TORCH_INDEX}"
ENV PLAYWRIGHT_BROWSERS_PATH=/opt/playwright
RUN --mount=type=bind,source=docker/install_browser.sh,target=/tmp/install_browser.sh \
    sh /tmp/install_browser.sh "${BROWSER}"
RUN --mount=type=bind,from=wheel,source=/wheels,target=/tmp/wheels \
    pip install --quiet --no-deps --no-index /tmp/wheels/*.whl
WORKDIR /app
COPY main.py ./
COPY config config
COPY docker/healthcheck.py docker/
RUN install -d -o reelscope -g reelscope data models models/.cache logs \
    && chown -R reelscope:reelscope config
# What vendors keep between calls; reelscope's own weights stand beside it, in /app/models.
ENV TORCH_HOME=/app/models/.cache/torch \
    HF_HOME=/app/models/.cache/huggingface \
    YOLO_CONFIG_DIR=/app/models/.cache/ultralytics \
    NUMBA_CACHE_DIR=/app/models/.cache/numba \
    MPLCONFIGDIR=/app/models/.cache/matplotlib
VOLUME ["/app/data", "/app/models", "/app/logs"]
USER reelscope
HEALTHCHECK --interval=60s --timeout=20s --start-period=30s --retries=3 \
    CMD ["python", "docker/healthcheck.py"]
ENTRYPOINT ["python", "main.py"]
CMD ["--help"]

# --- notebook: Jupyter over the same --------------------------------------------------------
FROM runtime AS notebook
USER root
RUN --mount=type=bind,source=docker/requirements-notebook.txt,target=/tmp/requirements.txt \
    --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=pip_cert,target=/etc/pip-cert.pem \
    --mount=type=cache,target=/root/.cache/pip \
    pip install --quiet --no-deps -r /tmp/requirements.txt
COPY docker/start_notebook.py docker/
COPY --chown=reelscope:reelscope notebooks notebooks
USER reelscope
EXPOSE 8888
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["python", "docker/healthcheck.py", "--url", "http://127.0.0.1:8888/api"]
ENTRYPOINT ["python", "docker/start_notebook.py"]
CMD []
