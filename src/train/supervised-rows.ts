import { IGNORED_LABEL, type Batch } from './batch.ts'

/** The places whose output predicts a target: `places` are indices into [rows·length], `labels` the tokens to predict. */
export interface SupervisedRows {
  places: Int32Array
  labels: Int32Array
}

/** The place before each target, in its own segment: a sample's first token is predicted by nothing. */
export function supervisedRows({ rows, length, labels, segments }: Batch): SupervisedRows {
  const places: number[] = []
  const targets: number[] = []
  for (let row = 0; row < rows; row++)
    for (let t = row * length + 1; t < (row + 1) * length; t++)
      if (labels[t] !== IGNORED_LABEL && segments[t] === segments[t - 1]) {
        places.push(t - 1)
        targets.push(labels[t] as number)
      }
  return { places: Int32Array.from(places), labels: Int32Array.from(targets) }
}
