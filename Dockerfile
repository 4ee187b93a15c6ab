# Go, for OPA's toolkit.
FROM golang:1.26-bookworm AS go

# Everything that is made: the toolkit, the compiled policies, the wheel, the environment it runs in.
FROM python:3.11-slim-bookworm AS build
COPY --from=go /usr/local/go /usr/local/go
ENV PATH=/usr/local/go/bin:$PATH
WORKDIR /src
COPY scripts/pins-run.txt scripts/pins-build.txt scripts/pins-assets.txt scripts/
RUN python3 -m venv /opt/policy-server \
 && /opt/policy-server/bin/python -m pip install --disable-pip-version-check --require-hashes -r scripts/pins-run.txt
RUN python3 -m venv /opt/build \
 && /opt/build/bin/python -m pip install --disable-pip-version-check --require-hashes -r scripts/pins-build.txt
COPY policy_server policy_server
RUN /opt/policy-server/bin/python -m policy_server.toolkit.build
COPY rego rego
RUN POLICY_CACHE_DIR=/tmp/cache /opt/policy-server/bin/python -m policy_server compile rego --output compiled
COPY scripts scripts
RUN /opt/build/bin/python -m pip download --disable-pip-version-check --no-deps --require-hashes --dest /tmp/assets -r scripts/pins-assets.txt \
 && /opt/build/bin/python scripts/unpack_assets.py /tmp/assets
COPY pyproject.toml README.md LICENSE NOTICE THIRD-PARTY-NOTICES.md ./
RUN /opt/build/bin/python -m build --wheel --no-isolation --outdir /dist .
RUN /opt/policy-server/bin/python -m pip install --disable-pip-version-check --no-deps --no-index /dist/*.whl

# What runs: slim Python, no compiler, not root.
FROM python:3.11-slim-bookworm AS run
LABEL org.opencontainers.image.title="policy-server" \
      org.opencontainers.image.description="Rego policies as WebAssembly, in process, for Pexip Infinity and others" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# For Git repositories behind SSH.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends openssh-client \
 && rm -rf /var/lib/apt/lists/*
RUN groupadd --system --gid 10001 policy \
 && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin policy \
 && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=build /opt/policy-server /opt/policy-server
ENV PATH=/opt/policy-server/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    POLICY_HOST=0.0.0.0 \
    POLICY_PORT=8080 \
    POLICY_AUTH_ENABLED=true \
    POLICY_STATE_DIR=/data \
    POLICY_CACHE_DIR=/data/cache \
    POLICY_LOG_FORMAT=json
USER 10001:10001
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 CMD ["policy-server", "doctor", "--quick"]
ENTRYPOINT ["policy-server"]
CMD ["serve"]
