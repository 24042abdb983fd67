# syntax=docker/dockerfile:1

# The base is pinned by exact tag, not by digest: bump tag and digest together where a registry can be asked.
# All stages share it, because the virtual environment points at its interpreter.
FROM python:3.13.9-slim-trixie AS base

FROM base AS wheel
WORKDIR /src
# hatchling comes from the same hashed lock as in development, so nothing unpinned takes part in the build.
COPY requirements/develop.lock requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/develop.lock
COPY LICENSE README.md pyproject.toml ./
COPY operator operator
COPY charts charts
RUN hatchling build --target wheel --directory /dist

FROM base AS environment
WORKDIR /src
# --without-pip: what runs in the cluster cannot install anything.
RUN python -m venv --without-pip /opt/aibudget
COPY requirements/operator.lock requirements/
RUN pip --python /opt/aibudget/bin/python install --no-cache-dir --require-hashes -r requirements/operator.lock
COPY --from=wheel /dist /dist
RUN pip --python /opt/aibudget/bin/python install --no-cache-dir --no-deps --no-index /dist/*.whl

FROM base
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="AIBudget" \
      org.opencontainers.image.description="Kubernetes operator for AI workload cost control" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=environment /opt/aibudget /opt/aibudget
# The root file system is read-only in the chart: nothing is compiled or buffered at run time.
ENV PATH=/opt/aibudget/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /var/lib/aibudget
ENTRYPOINT ["aibudget"]
