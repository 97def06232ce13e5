# A guest for the docker backend: what coding agents expect to find. The agent itself is mounted, and so is the Node
# that its first program runs on.
ARG BASE=node:22-bookworm-slim
FROM ${BASE}
RUN (command -v git && command -v curl && command -v ps && test -e /etc/ssl/certs/ca-certificates.crt) >/dev/null \
 || (apt-get update \
 && apt-get install --yes --no-install-recommends \
    ca-certificates curl git jq less openssh-client procps python3 ripgrep unzip xz-utils \
 && rm -rf /var/lib/apt/lists/*)
