# Builds for the platform it runs on; `docker buildx build --platform linux/amd64,linux/arm64 .`
# builds for both.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY assets assets
COPY benches benches
RUN cargo build --release --locked --bin frigate-replay

# glibc, certificates and nothing else. The worker joins recordings itself; for the few that need
# ffmpeg (see the README) mount one and set FRIGATE_REPLAY_FFMPEG.
FROM gcr.io/distroless/cc-debian12
COPY --from=build /src/target/release/frigate-replay /usr/local/bin/frigate-replay
# Frigate's files belong to root; docker-compose.yml takes all of root's capabilities away.
USER 0
VOLUME /data
ENTRYPOINT ["frigate-replay"]
CMD ["run"]
