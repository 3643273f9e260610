# Backstay's one image: the operator, the pods that verify a restored claim, the Jobs that make and
# restore rolling copies (they use rsync), and those that work on repositories (they use restic).
# Builds with any engine: docker build -t backstay .

# Where /usr/bin/restic comes from: restic-source compiles the version that is locked here;
# restic-debian is Debian's 0.18.0, the oldest that Backstay works with, and needs neither Go's image
# nor its module proxy; an image that has it is the third way. buildah 1.28 skips stages that only a
# default names, so it has to be given even restic-source.
ARG RESTIC=restic-source

FROM golang:1.26.8-trixie AS restic-source
# The locked compiler and modules, or none: Go would otherwise fetch what it finds better.
ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly
WORKDIR /build
COPY requirements/restic/go.mod requirements/restic/go.sum ./
RUN go build -trimpath -ldflags="-s -w" -o /usr/bin/restic github.com/restic/restic/cmd/restic

FROM debian:trixie-slim AS restic-debian
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends restic

FROM ${RESTIC} AS restic

FROM debian:trixie-slim AS python
# ca-certificates: by them restic knows the servers of public clouds.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      python3 rsync ca-certificates \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*

FROM python AS build
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
# pip stays outside: what it installs is copied on, itself is not.
RUN python3 -m venv tools && python3 -m venv --without-pip /opt/backstay
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN tools/bin/pip install --require-hashes -r requirements/build.txt \
 && tools/bin/pip --python /opt/backstay/bin/python install --require-hashes -r requirements/runtime.txt
# 43 MB of compiled API classes: the operator speaks in plain dicts and imports hardly any of them.
RUN rm -rf /opt/backstay/lib/python3*/site-packages/kubernetes/client/*/__pycache__ \
           /opt/backstay/lib/python3*/site-packages/kubernetes/aio/client/*/__pycache__
COPY pyproject.toml README.md ./
COPY operator/src operator/src
# The build backend is the locked one: without isolation pip takes what is installed.
RUN tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir wheels . \
 && tools/bin/pip --python /opt/backstay/bin/python install --no-deps wheels/*.whl

FROM python
COPY --from=restic /usr/bin/restic /usr/bin/restic
COPY --from=build /opt/backstay /opt/backstay
ENV PATH=/opt/backstay/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1
# By number, so that Kubernetes can see that it is not root. The process writes no file.
USER 65532:65532
ENTRYPOINT ["/opt/backstay/bin/python", "-m", "backstay"]
