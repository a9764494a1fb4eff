# floodwatch as an image: what it needs at run time is pinned with hashes, its user is none that the host knows.
#
#   docker build -t floodwatch --build-arg COMMIT=$(git rev-parse HEAD) .
#   docker run --rm -v ./live.toml:/etc/floodwatch/live.toml:ro -v snapshot:/var/lib/floodwatch \
#       floodwatch run --config /etc/floodwatch/live.toml
FROM python:3.12-slim AS build

WORKDIR /src
COPY locks/uv.txt locks/runtime.txt locks/
RUN python -m venv /opt/tools && python -m venv --without-pip /opt/floodwatch \
    && /opt/tools/bin/pip install --no-cache-dir --require-hashes --no-deps --only-binary :all: -r locks/uv.txt \
    && /opt/tools/bin/uv pip sync --no-cache --require-hashes --no-build \
        --python /opt/floodwatch/bin/python locks/runtime.txt

COPY pyproject.toml README.md LICENSE ./
COPY detector detector
COPY pipelines pipelines
# Only the build backend comes unpinned; it writes a wheel of our own files, and is not in the image.
RUN /opt/tools/bin/uv pip install --no-cache --no-deps --python /opt/floodwatch/bin/python . \
    && /opt/floodwatch/bin/python -m compileall -q /opt/floodwatch/lib


FROM python:3.12-slim

# A number above those of a host's users; runAsNonRoot of Kubernetes asks for a number.
RUN groupadd --gid 10777 floodwatch \
    && useradd --uid 10777 --gid 10777 --no-create-home --home-dir /var/lib/floodwatch \
        --shell /usr/sbin/nologin floodwatch \
    && install -d -o 10777 -g 10777 -m 0750 /var/lib/floodwatch
COPY --from=build /opt/floodwatch /opt/floodwatch
# Shown by floodwatch --version.
ARG COMMIT=
ENV PATH=/opt/floodwatch/bin:$PATH \
    FLOODWATCH_COMMIT=$COMMIT \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

# The detector's snapshot and an embedded store go here: mount a volume.
WORKDIR /var/lib/floodwatch
USER 10777:10777
STOPSIGNAL SIGTERM
ENTRYPOINT ["floodwatch"]
CMD ["--help"]
