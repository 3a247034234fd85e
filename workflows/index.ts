/** Everything that a worker can run: the bundle is made from this file. */
export { fineTune } from './fine-tune.ts'
export { train } from './train.ts'
export { nightly } from './nightly.ts'
export { releaseName } from './release-name.ts'
export { tell } from './tell.ts'
