export const production = { temporal: { address: 'temporal:7233' }, store: { uri: 's3://bucket/temper' } }
export const gpuFleet = {
  name: 'a100',
  taskQueue: 'finetune-gpu-a100',
  gpu: { resource: 'nvidia.com/gpu', count: 2 },
  nodeSelector: { pool: 'a100' },
  min: 0,
  max: 5,
  replicas: 0,
}
