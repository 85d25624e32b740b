# One image for the four services and the command line; the container's command says which: python -m services.<name>
# 3.12 and 3.13 take more CPU for the same request: "Which gRPC, which Python" in docs/performance.md.
FROM python:3.11-slim AS packages
RUN python -m venv /opt/headgate
COPY requirements.lock /tmp/requirements.lock
RUN /opt/headgate/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
      --require-hashes -r /tmp/requirements.lock

FROM python:3.11-slim
RUN groupadd --gid 10001 headgate \
 && useradd --uid 10001 --gid headgate --no-create-home --shell /usr/sbin/nologin headgate \
    # A new volume that is mounted here takes the owner over.
 && install -d -m 0700 -o headgate -g headgate /data
COPY --from=packages /opt/headgate /opt/headgate
WORKDIR /app
COPY services services
COPY cli cli
COPY gen/python gen/python
COPY config config
ENV PATH=/opt/headgate/bin:$PATH \
    PYTHONPATH=/app:/app/gen/python \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HEADGATE_DATA_DIR=/data
RUN python -m compileall -q services cli gen/python
USER 10001:10001
# Router, cache, ratelimit, billing; and their Prometheus endpoints.
EXPOSE 50051 50052 50053 50054 9464 9465 9466 9467
STOPSIGNAL SIGTERM
CMD ["python", "-m", "services.router"]
