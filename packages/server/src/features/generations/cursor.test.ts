import fc from 'fast-check'
import { expect, test } from 'vitest'
import { idOf, newUuid } from '../../kernel/ids.ts'
import { cursorOf, parseCursor } from './cursor.ts'

test('a cursor comes back as the position it was made of', () => {
  const times = fc.integer({ min: 0, max: 253_402_300_799_999 })
  fc.assert(
    fc.property(times, fc.uuid({ version: 7 }), (ms, id) => {
      const position = { created_at: new Date(ms), id }
      expect(parseCursor(cursorOf(position))).toEqual(position)
    }),
  )
})

test('a cursor fits into a query string as it stands', () => {
  const cursor = cursorOf({ created_at: new Date(), id: newUuid() })
  expect(encodeURIComponent(cursor)).toBe(cursor)
})

test('any other text is refused, and nothing else is thrown', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(() => parseCursor(text)).toThrow('cursor: is not one of ours.')
    }),
  )
})

const id = idOf('gen', newUuid())
test.each([
  '',
  '.',
  id,
  `${id}.`,
  `.1`,
  `${id}.x`,
  `${id}.-1`,
  `${id}.1.1`,
  `${id}.1e3`,
  `${id}.253402300800000`,
  `${id}.${'9'.repeat(15)}`,
  `${id}.${'9'.repeat(100)}`,
  `${id}.1\n`,
  `${id.replace('gen', 'key')}.1`,
])('%j is no cursor', (text) => {
  expect(() => parseCursor(text)).toThrow('cursor: is not one of ours.')
})
