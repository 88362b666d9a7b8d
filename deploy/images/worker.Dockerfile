# A worker, the command line and the counting engine; no torch. Built from the repository:
#   docker build -f deploy/images/worker.Dockerfile -t prefstream-worker .
# A digest of your registry's mirror may stand in the place of the tag: --build-arg PYTHON=...
ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /venv
COPY requirements/worker.txt requirements/
# Wheels only: what would have to be compiled has no place here.
RUN /venv/bin/pip install --only-binary :all: --no-deps --requirement requirements/worker.txt
COPY pyproject.toml README.md ./
COPY prefstream prefstream
RUN /venv/bin/pip install --no-deps . && /venv/bin/pip uninstall --yes pip setuptools

FROM ${PYTHON}
# Nobody who has a name on the host: 10001 is written out, because Kubernetes wants a number to know that it is not root.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin prefstream \
    && install --directory --owner=10001 --group=10001 /var/lib/prefstream
COPY --from=build /venv /venv
WORKDIR /app
COPY streams streams
COPY agents agents
COPY model_server model_server
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PREFSTREAM_DATA_DIRECTORY=/var/lib/prefstream/state \
    PREFSTREAM_HTTP_HOST=0.0.0.0
USER 10001:10001
# Each container its own: two workers cannot share one.
VOLUME /var/lib/prefstream
EXPOSE 9108
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9108/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
CMD ["python", "-m", "agents"]
