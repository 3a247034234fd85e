import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fineTuneSchema, type FineTuneSpec } from '../../src/spec/fine-tune.ts'
import { differences, thisEnvironment } from '../../src/train/environment.ts'
import { resolveTrainSettings } from '../../src/train/train-settings.ts'
import { trainSettings } from './settings.ts'

function specOf(train: object): FineTuneSpec['train'] {
  return fineTuneSchema.parse({
    apiVersion: 'temper.dev/v1alpha1',
    kind: 'FineTune',
    metadata: { name: 'x' },
    spec: { model: { source: './model' }, data: { train: ['rows.jsonl'] }, train },
  }).spec.train
}

test('a GPU trains in layout whole, a CPU by layer; a job on the CPU is known by the same settings as before there was a choice', () => {
  const gpu = resolveTrainSettings(specOf({ device: 'cuda' }), 64)
  assert.deepEqual([gpu.device, gpu.layout], ['cuda', 'whole'])
  const cpu = resolveTrainSettings(specOf({}), 64)
  assert.equal(cpu.layout, 'by-layer')
  assert.ok(!('device' in cpu))
  assert.equal(resolveTrainSettings(specOf({ layout: 'whole' }), 64).layout, 'whole')
  assert.equal(resolveTrainSettings(specOf({ device: 'cuda', precision: 'bf16' }), 64).precision, 'bf16')
})

test('from a CPU to a GPU, or back, is another environment', () => {
  const settings = trainSettings({ layout: 'whole' })
  const cpu = thisEnvironment(settings)
  assert.ok(!('device' in cpu))
  const gpu = { ...cpu, device: 'NVIDIA H100' }
  assert.deepEqual(differences(cpu, gpu), ['device'])
  assert.deepEqual(differences(gpu, cpu), ['device'])
  assert.deepEqual(differences(gpu, { ...gpu }), [])
  assert.deepEqual(differences(gpu, { ...gpu, device: 'NVIDIA A100' }), ['device'])
})
