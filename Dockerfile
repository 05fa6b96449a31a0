# Builds the one binary and runs it as an ordinary user. The data folder is a volume; the page is on port 8770.
#   docker build -t ralphton .
#   docker run --rm -p 127.0.0.1:8770:8770 -v ralphton-data:/data ralphton
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
# Root certificates, for Discord and the model providers.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 ralphton \
    && install -d -o ralphton -g ralphton /data
COPY --from=build /src/target/release/ralphton /usr/local/bin/ralphton
USER ralphton
WORKDIR /home/ralphton
VOLUME /data
EXPOSE 8770
# Inside a container the page must listen on the container's own address; publish it to the host's loopback only.
ENTRYPOINT ["ralphton"]
CMD ["up", "--data", "/data", "--listen", "0.0.0.0:8770"]
