# The image for Docker and Kubernetes work pools (docs/work-pools.md). An image per commit; nothing is installed at run time.
FROM python:3.12-slim
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql-client && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 10001 pco
WORKDIR /opt/pco-sync
COPY locks/run.txt locks/run.txt
RUN pip install --no-cache-dir --require-hashes --requirement locks/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY pco_catalog pco_catalog
COPY pco_network pco_network
COPY pco_client pco_client
COPY pco_store pco_store
COPY pco_walks pco_walks
COPY pco_simulator pco_simulator
COPY pco_sync pco_sync
COPY pco_worker pco_worker
COPY flows flows
COPY tasks tasks
COPY deployments deployments
COPY prefect.yaml ./
# Editable: flows are no package of a wheel, and deployments look for them beside the installed packages.
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .
USER pco
# No entrypoint: work pools give the command themselves. By hand: docker run IMAGE pco-sync plan my-church
CMD ["pco-sync", "--help"]
