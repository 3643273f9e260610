# Backstay's one image: the operator, the pods that verify a restored claim, and the Jobs that make
# and restore rolling copies (they use rsync).
# Builds with any engine and nothing but Debian's packages and PyPI: docker build -t backstay .

FROM debian:trixie-slim AS python
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 rsync \
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
COPY --from=build /opt/backstay /opt/backstay
ENV PATH=/opt/backstay/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1
# By number, so that Kubernetes can see that it is not root. The process writes no file.
USER 65532:65532
ENTRYPOINT ["/opt/backstay/bin/python", "-m", "backstay"]
