# The API as a plain container, for Container Apps, Kubernetes or any other host: local.py with Cosmos DB and a model by
# settings. It listens on all addresses, so callers must be able to sign in: without API_KEYS or ENTRA_TENANT_IDS it refuses
# to start.
FROM python:3.13-slim AS build
COPY requirements.txt requirements/local.txt /requirements/
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes -r /requirements/requirements.txt -r /requirements/local.txt

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin app \
    && install --directory --mode 700 --owner app /data
COPY --from=build /venv /venv
WORKDIR /app
COPY . .
# The app's user cannot write here, at run time.
RUN /venv/bin/python -m compileall -q .
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8080 \
    DATA_DIR=/data
USER 10001
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/api/health', timeout=4)"]
CMD ["python", "local.py"]
