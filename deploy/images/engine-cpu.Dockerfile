# vLLM for the CPU with the model that is trained here; 6 GB, most of it torch. Built from the repository:
#   docker build -f deploy/images/engine-cpu.Dockerfile -t prefstream-engine-cpu .
ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /venv
COPY requirements/engine.txt requirements/engine-alone.txt requirements/
RUN /venv/bin/pip install --only-binary :all: --requirement requirements/engine.txt \
    && /venv/bin/pip install --only-binary :all: --no-deps --requirement requirements/engine-alone.txt

FROM ${PYTHON}
# libnuma and tcmalloc, which vLLM's kernels for the CPU are linked with; gcc, with which torch compiles some of its own.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc g++ libnuma1 libgoogle-perftools4 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin prefstream \
    && install --directory --owner=10001 --group=10001 /var/lib/prefstream
COPY --from=build /venv /venv
WORKDIR /app
COPY prefstream prefstream
COPY streams streams
COPY model_server model_server
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/var/lib/prefstream \
    PREFSTREAM_CACHE=/var/lib/prefstream/cache
USER 10001:10001
# Prepared weights: another container with the same volume starts without converting them.
VOLUME /var/lib/prefstream
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=330s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=4)"]
STOPSIGNAL SIGTERM
CMD ["python", "-m", "model_server.serve", "prefstream-135m-cpu", "--host", "0.0.0.0", "--port", "8000"]
