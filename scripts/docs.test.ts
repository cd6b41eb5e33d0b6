// What the pages say in tables, against what the code says; tools/docs runs their commands.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ERRORS } from '../packages/shared/src/errors.ts'
import { expect, test } from 'vitest'

const read = (path: string) => readFileSync(join(import.meta.dirname, '..', path), 'utf8')

test('the page on errors has every code, with its status, type and whether to repeat it', () => {
  const rows = read('docs/errors.md').matchAll(
    /^\| (\d{3}) +\| `(\w+)` +\| `(\w+)` +\| (yes|no) +\|/gm,
  )
  const told = [...rows].map(([, status, code, type, again]) => [
    code,
    { status: Number(status), type, retryable: again === 'yes' },
  ])
  const known = Object.entries(ERRORS).map(([code, { status, type, retryable }]) => [
    code,
    { status, type, retryable },
  ])
  expect(told).toEqual(known)
})

const PAGES = ['self-hosting', 'limits', 'budgets', 'generating', 'editing', 'async'] as const

test.each(PAGES)('every setting that the page %s names is in .env.example', (page) => {
  const names = read(`docs/${page}.md`).matchAll(/`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`/g)
  const known = read('.env.example')
  // NAME_FILE is any secret's; NAME_* a group.
  const settings = [...names].map(([, name = '']) => name.replace(/_FILE$|_$/, ''))
  expect(settings.filter((name) => !known.includes(`# ${name}`))).toEqual([])
})
