# Where no registry answers: Toxiproxy from its Go module, under the name of its official image.
FROM debian:trixie-slim AS build
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends golang-go ca-certificates
COPY ca-bundle.pem /opt/ca-bundle.pem
ARG GOPROXY
ARG GOSUMDB
ARG VERSION
# An empty argument must not override Go's own default.
RUN [ -n "$GOPROXY" ] || unset GOPROXY; [ -n "$GOSUMDB" ] || unset GOSUMDB; \
    SSL_CERT_FILE=/opt/ca-bundle.pem CGO_ENABLED=0 GOBIN=/opt GOFLAGS=-trimpath \
    go install -ldflags "-s -w -X github.com/Shopify/toxiproxy/v2.Version=$VERSION" github.com/Shopify/toxiproxy/v2/cmd/server@v$VERSION \
 && mv /opt/server /opt/toxiproxy
FROM scratch
COPY --from=build /opt/toxiproxy /toxiproxy
