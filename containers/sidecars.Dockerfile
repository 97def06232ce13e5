# The bundle's sidecars in one container. Its context is dist/ and package.json; `bottle` builds it when it is first
# needed and whenever either changes. Every step works on amd64 and arm64.
ARG BASE=node:22-bookworm-slim
FROM ${BASE}
# git-gate runs git and ssh. A base that has them (a mirror's, one without a network) is taken as it is.
RUN (command -v git && command -v ssh && test -e /etc/ssl/certs/ca-certificates.crt) >/dev/null \
 || (apt-get update \
 && apt-get install --yes --no-install-recommends git openssh-client ca-certificates \
 && rm -rf /var/lib/apt/lists/*)
COPY package.json /opt/bottle/package.json
COPY dist /opt/bottle/dist
USER 1000:1000
ENTRYPOINT ["node", "/opt/bottle/dist/programs/bundle-init.mjs"]
