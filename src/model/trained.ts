/** What a training changes, live: an adapter's tensors, or with method full the model's own, by their names in files. */
export interface Trained {
  tensors: ReadonlyMap<string, { shape: readonly number[]; data: Float32Array }>
}
