# syntax=docker/dockerfile:1
# Two stages: a locked build, and a small image that runs as nobody in particular on a read-only root.

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock askama.toml ./
COPY src ./src
COPY benches ./benches
COPY examples ./examples
RUN cargo build --release --locked --bin vestibule

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin vestibule \
    && install -d -o vestibule -g vestibule -m 0700 /var/lib/vestibule
COPY --from=build /src/target/release/vestibule /usr/local/bin/vestibule
USER vestibule
# The only place that is written to: keys and state. Run with `--read-only` and a volume here.
ENV STATE_DIRECTORY=/var/lib/vestibule
VOLUME /var/lib/vestibule
EXPOSE 8443 8080
# The admin listener is on the container's loopback by default, where only this check can reach it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["curl", "--fail", "--silent", "--show-error", "http://127.0.0.1:9180/health/ready"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/vestibule"]
CMD ["serve", "--config", "/etc/vestibule/vestibule.yaml"]
