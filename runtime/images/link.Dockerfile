# A link between two centers: the node image with Toxiproxy in it.
ARG NODE_IMAGE
ARG TOXIPROXY_IMAGE
FROM ${TOXIPROXY_IMAGE} AS toxiproxy
FROM ${NODE_IMAGE}
COPY --from=toxiproxy /toxiproxy /usr/local/bin/toxiproxy-server
