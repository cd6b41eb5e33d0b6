import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')

/** What a newcomer reads. */
export async function documents() {
  const pages = await readdir(join(root, 'docs'))
  const examples = await readdir(join(root, 'examples'), { recursive: true })
  return [
    'README.md',
    'packages/sdk/README.md',
    ...pages.filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`),
    ...examples
      .filter((name) => /(^|\/)README\.md$/.test(name) && !name.includes('node_modules/'))
      .map((name) => `examples/${name}`),
  ]
}

export const read = (path) => readFile(join(root, path), 'utf8')

/** The blocks of code of a text, each with its language and what stands behind it. */
export const blocksOf = (text) =>
  [...text.matchAll(/^```([^\s`]*) *(.*)\n([^]*?)^```$/gm)].map(([, language, info, code]) => ({
    language,
    info,
    code,
  }))
