/**
 * node tests/tracker/build.js FOLDER: builds hail/track/ into it, as scripts that any browser since 2018 runs. Prints their sizes.
 *
 * esbuild makes one file of the modules; terser takes a further twentieth off, since it puts functions that are called once in their place.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { buildSync } from 'esbuild'
import { minify } from 'terser'

const FILES = { 'trackr.core.js': 'core.js', 'trackr.js': 'whole.js', 'trackr.push.js': 'push.js' }
const TARGET = 2018, SOURCE = fileURLToPath(new URL('../../hail/track/', import.meta.url))

/** One script of an entry and of all that it imports. */
export const bundled = (entry, minified) =>
  buildSync({ entryPoints: [join(SOURCE, entry)], bundle: true, minify: minified, target: `es${TARGET}`, format: 'iife', write: false })
    .outputFiles[0].text

export const built = async (entry) => {
  const { code } = await minify(bundled(entry, true), { compress: { passes: 2, lhs_constants: false }, ecma: TARGET })
  return `/*! HailWhale MIT */${code}`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, entry] of Object.entries(FILES)) {
    const text = await built(entry)
    writeFileSync(join(process.argv[2], name), text)
    console.log(`${name}: ${gzipSync(text, { level: 9 }).length} bytes gzipped, ${text.length} plain`)
  }
}
