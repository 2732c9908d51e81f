# The image of countersign: one static binary, no shell, nobody's root.
#
#   docker build -t countersign .                               builds the binary, too
#   docker build -t countersign --target prebuilt .             takes dist/countersign, built before, and dist/ca-certificates.crt
#
# BASE is what it runs on: `scratch` unless told, or one that is alike, such as a distroless image; BUILDER is where it is
# built: Debian with Rust 1.94 or newer. Where neither may come from Docker Hub, name your mirror's.
ARG BUILDER=docker.io/library/rust:1.94-bookworm
ARG BASE=scratch

# All but the files. Stages that a target does not need come after it, since some builders build whatever stands before.
FROM ${BASE} AS bare
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=""
LABEL org.opencontainers.image.title="countersign" \
      org.opencontainers.image.description="Issues personal access tokens and decides what their bearers may do" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
# The number, since there is no file of users; Kubernetes checks `runAsNonRoot` by it.
USER 65532:65532
WORKDIR /var/lib/countersign
# What is freed is kept for what comes next, so that the large pages which the system makes of memory stay whole: among
# millions of tokens nearly each access to memory would have to wait for a table of pages as well.
ENV MIMALLOC_PURGE_DELAY=-1
EXPOSE 50051 9464
ENTRYPOINT ["/countersign"]
CMD ["serve"]

FROM bare AS prebuilt
COPY dist/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY dist/countersign /countersign

FROM ${BUILDER} AS builder
WORKDIR /build
# For this machine's architecture; named, so that what runs during the build is not linked statically, which macros cannot be.
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ENV RUSTFLAGS="-C target-feature=+crt-static"
RUN rustc -vV | sed -n 's/^host: //p' > /target
# The dependencies are a layer of their own, made from stubs of our files, which only another manifest makes anew.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches/service tests/it; \
    echo 'fn main() {}' | tee src/main.rs benches/service/main.rs tests/it/main.rs build.rs > /dev/null; \
    touch src/lib.rs; \
    cargo build --release --locked --bin countersign --target "$(cat /target)"; \
    rm -rf src build.rs
COPY build.rs ./
COPY proto proto
COPY src src
# Cargo goes by times, and those of the stubs are younger.
RUN touch build.rs src/main.rs src/lib.rs; \
    cargo build --release --locked --bin countersign --target "$(cat /target)"; \
    cp "target/$(cat /target)/release/countersign" /countersign; \
    strip /countersign; \
    /countersign --version

FROM bare
COPY --from=builder /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=builder /countersign /countersign
