import { benchMany } from './many.ts'
import { benchPlot } from './plot.ts'
import { benchPrecision } from './precision.ts'
import { benchProfile } from './profile.ts'
import { benchRows } from './rows.ts'
import { benchShapes } from './shapes.ts'
import { benchTrain } from './train.ts'

/** npm run bench -- NAME [options]: measurements, one JSON line each with --json, else a table. */
const BENCHES: Record<string, (args: string[]) => Promise<void>> = {
  train: benchTrain,
  precision: benchPrecision,
  rows: benchRows,
  shapes: benchShapes,
  plot: benchPlot,
  profile: benchProfile,
  many: benchMany,
}

const [name = '', ...args] = process.argv.slice(2)
const bench = BENCHES[name]
if (bench) await bench(args)
else {
  console.error(`usage: npm run bench -- NAME [options]; NAME is one of ${Object.keys(BENCHES).join(', ')}`)
  console.error('example: npm run bench -- train --model MODEL_DIR --sequence 512 --batch 1 --json')
  process.exitCode = 1
}
