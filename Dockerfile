# syntax=docker/dockerfile:1
# docker build --target cpu -t temper:0.1.0 .
# docker build --target cuda -t temper-cuda:0.1.0 .
ARG NODE_IMAGE=node:24-bookworm-slim
ARG CUDA_IMAGE=nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04

FROM ${NODE_IMAGE} AS cpu-packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --no-audit --no-fund

# The same packages, and the CUDA provider that onnxruntime-node's own installer fetches.
FROM cpu-packages AS cuda-packages
RUN npm rebuild onnxruntime-node --onnxruntime-node-install=cuda12 --foreground-scripts

FROM scratch AS sources
COPY package.json LICENSE /app/
COPY bin /app/bin
COPY src /app/src
COPY workflows /app/workflows
COPY activities /app/activities
COPY worker /app/worker
COPY jobs /app/jobs
COPY cli /app/cli
COPY k8s /app/k8s
COPY examples /app/examples

# Bundled once here instead of at every start of a worker.
FROM cpu-packages AS bundle
COPY --from=sources /app ./
COPY scripts/bundle-workflows.ts scripts/workflow-code.ts ./scripts/
RUN node scripts/bundle-workflows.ts

FROM ${NODE_IMAGE} AS cpu
WORKDIR /app
COPY --from=cpu-packages /app/node_modules ./node_modules
COPY --from=sources /app ./
COPY --from=bundle /app/workflows/bundle.js ./workflows/
ENV NODE_ENV=production TEMPER_HOME=/var/lib/temper TEMPER_CACHE=/var/cache/temper
RUN install -d -o 10001 -g 10001 /var/lib/temper /var/cache/temper
USER 10001:10001
CMD ["node", "worker/main.ts"]

FROM ${CUDA_IMAGE} AS cuda
WORKDIR /app
COPY --from=cpu-packages /usr/local/bin/node /usr/local/bin/node
COPY --from=cuda-packages /app/node_modules ./node_modules
COPY --from=sources /app ./
COPY --from=bundle /app/workflows/bundle.js ./workflows/
ENV NODE_ENV=production TEMPER_HOME=/var/lib/temper TEMPER_CACHE=/var/cache/temper
RUN install -d -o 10001 -g 10001 /var/lib/temper /var/cache/temper
USER 10001:10001
CMD ["node", "worker/main.ts"]
