#!/bin/sh
# Starts the image $1 with a new API key, waits until Docker calls it healthy, and runs the deployment test against it.
set -eu
image=$1
key=chat_$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')
hash=$(printf %s "$key" | sha256sum | cut -d ' ' -f 1)
container=$(docker run --detach --read-only --tmpfs /data:uid=10001 --cap-drop ALL --publish 127.0.0.1::8080 \
    --env "API_KEYS=[{\"name\": \"try\", \"tenant\": \"test\", \"sha256\": \"$hash\"}]" "$image")
trap 'docker logs "$container"; docker rm --force "$container" >/dev/null' EXIT
for _ in $(seq 60); do
    state=$(docker inspect --format '{{.State.Health.Status}}' "$container")
    [ "$state" = healthy ] && break
    sleep 1
done
[ "$state" = healthy ]
BASE_URL=http://$(docker port "$container" 8080/tcp) CHAT_API_KEY=$key .venv/bin/python -m pytest tests/deploy
