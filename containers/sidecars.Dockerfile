# The bundle's sidecars in one container, and what runs first in a guest's container. Its context is dist/ and
# package.json; `bottle` builds it when it is first needed and whenever either changes. Every step works on amd64 and
# arm64.
ARG BASE=node:22-bookworm-slim
FROM ${BASE}
# git-gate runs git and ssh. A base that has them (a mirror's, one without a network) is taken as it is.
RUN (command -v git && command -v ssh && test -e /etc/ssl/certs/ca-certificates.crt) >/dev/null \
 || (apt-get update \
 && apt-get install --yes --no-install-recommends git openssh-client ca-certificates \
 && rm -rf /var/lib/apt/lists/*)
# For guests of any image, one without Node or of another C library: this Node with the libraries that it was linked to,
# in a folder that becomes a volume. Their loader does not look for what an image would have loaded into every program
# (a name as long, below what is no folder). And where the sidecars' sockets are, in another.
RUN set -eu; umask 022; runtime=/opt/bottle/runtime; mkdir -p "$runtime/lib"; node=$(readlink -f "$(command -v node)"); \
    cp "$node" "$runtime/node"; \
    ldd "$node" | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | while read -r lib; do cp -L "$lib" "$runtime/lib/"; done; \
    cp -L "$(ldd "$node" | sed -n 's/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' | head -n 1)" "$runtime/ld.so"; \
    LC_ALL=C sed -i 's#/etc/ld\.so\.preload#/dev/null/preload/#g' "$runtime/ld.so"; \
    mkdir -p /run/bottle/link/egress /run/bottle/link/git-gate /run/bottle/link/supervise; \
    chmod 1777 /run/bottle/link/*
COPY runtime /opt/bottle/runtime
COPY package.json /opt/bottle/package.json
COPY dist /opt/bottle/dist
USER 0:0
ENTRYPOINT ["node", "/opt/bottle/dist/programs/bundle-init.mjs"]
