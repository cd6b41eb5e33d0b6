import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { shapeOf } from '../coerce.ts'
import { EditsInput, GenerationsInput, WITHOUT_EFFECT } from './fields.ts'

const page = readFileSync(new URL('../../../../../docs/openai.md', import.meta.url), 'utf8')
const sectionOf = (title: string): string =>
  page.split(/^#+ /m).find((one) => one.startsWith(title)) ?? ''
const namesIn = (text: string, pattern: RegExp) =>
  [...text.matchAll(pattern)].map(([, name]) => name)

test('IN-8: the page lists what is accepted without effect, and nothing else', () => {
  const listed = namesIn(sectionOf('Accepted without effect'), /^- `(\w+)`/gm)
  expect(listed.toSorted()).toEqual(WITHOUT_EFFECT.toSorted())
})

test('the page tells of every other field', () => {
  const told = namesIn(sectionOf('What becomes of the fields'), /^\| `(\w+)`/gm)
  const fields = Object.keys(shapeOf(EditsInput))
  const others = [...WITHOUT_EFFECT, 'model', 'partial_images']
  expect([...told, ...others].toSorted()).toEqual(fields.toSorted())
  expect(Object.keys(shapeOf(GenerationsInput))).toEqual(fields.filter((name) => name !== 'image'))
  expect(sectionOf('Models')).toContain('`model`')
  expect(sectionOf('Refused')).toContain('`partial_images`')
})
