// As read_with.py, for hyparquet: node read_with.mjs FOLDER TABLE...

import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [packages, archive, ...tables] = process.argv.slice(2)
const require = createRequire(join(packages, 'package.json'))
const load = name => import(pathToFileURL(require.resolve(name)))
const { asyncBufferFromFile, parquetReadObjects } = await load('hyparquet')
const { compressors } = await load('hyparquet-compressors')

async function read(table) {
  const folder = join(archive, 'tables', table)
  const parts = await Promise.all(readdirSync(folder).map(async name => {
    const file = await asyncBufferFromFile(join(folder, name))
    return parquetReadObjects({ file, compressors })
  }))
  return parts.flat()
}

function point(row) {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(row.value)
  const bits = Number.isNaN(row.value) ? 'nan' : bytes.toString('hex')
  return `${row.run_id} ${row.key} ${row.step} ${row.timestamp.getTime()} ${bits}`
}

const counts = {}
for (const table of tables) counts[table] = (await read(table)).length
console.log(JSON.stringify({ counts, points: (await read('metrics')).map(point).sort() }))
