import { expect, test } from 'vitest'
import { fieldDoc, jsdoc } from './jsdoc.ts'

test('a short text is one line', () => {
  expect(jsdoc(['Short.'], '  ')).toEqual(['  /** Short. */'])
})

test('no text is no comment', () => {
  expect(jsdoc([undefined, ''])).toEqual([])
})

test('a long text is wrapped at 100 columns, paragraphs stand apart', () => {
  const lines = jsdoc(['word '.repeat(40).trim(), 'Second.'], '  ')
  expect(lines.every((line) => line.length <= 100)).toBe(true)
  expect(lines.slice(-3)).toEqual(['   *', '   * Second.', '   */'])
})

test('a text cannot end the comment', () => {
  expect(jsdoc(['a */ b'])).toEqual(['/** a *\\/ b */'])
})

test('a default is named where the description does not', () => {
  expect(fieldDoc({ default: 'live', description: 'The mode' }, {})).toEqual([
    'The mode.',
    "@default 'live'",
  ])
  expect(fieldDoc({ default: 20, description: 'How many. Default 20.' }, {})).toEqual([
    'How many. Default 20.',
  ])
})

test('a time without a description says how it is written', () => {
  const nullable = { anyOf: [{ type: 'string', format: 'date-time' }, { type: 'null' }] }
  expect(fieldDoc(nullable, {})).toEqual(['RFC 3339 time in UTC.'])
})
