import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Base64Decoder, decodeBase64 } from './base64.ts'

describe('base64', () => {
  test('gives back any bytes, in pieces of any length', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.array(fc.integer({ min: 1, max: 9 })), (bytes, cuts) => {
        const text = Buffer.from(bytes).toString('base64')
        const decoder = new Base64Decoder()
        let at = 0
        for (const length of cuts) {
          decoder.push(text.slice(at, at + length))
          at += length
        }
        decoder.push(text.slice(at))
        expect(decoder.end()).toEqual(Buffer.from(bytes))
      }),
    )
  })

  test('gives back the same from bytes, with room for all, for some or for more than there is', () => {
    const cuts = fc.array(fc.integer({ min: 0, max: 40 }))
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), cuts, fc.nat(400), (bytes, lengths, room) => {
        const text = Buffer.from(Buffer.from(bytes).toString('base64'), 'latin1')
        const decoder = new Base64Decoder(room)
        let at = 0
        for (const length of lengths) {
          decoder.pushBytes(text.subarray(at, at + length))
          at += length
        }
        decoder.pushBytes(text.subarray(at))
        expect(decoder.end()).toEqual(Buffer.from(bytes))
      }),
    )
  })

  test('refuses the same from bytes as from text', () => {
    const anything = fc.string({ unit: fc.constantFrom(...'AQ9+/=-_! é'), maxLength: 40 })
    fc.assert(
      fc.property(anything, fc.nat(40), (text, cut) => {
        const decoder = new Base64Decoder()
        const bytes = Buffer.from(text, 'latin1')
        decoder.pushBytes(bytes.subarray(0, cut))
        decoder.pushBytes(bytes.subarray(cut))
        expect(decoder.end()).toEqual(decodeBase64(text))
      }),
    )
  })

  test.each([
    ['a length that is no multiple of four', 'QUJ'],
    ['a character that is none', 'QU!D'],
    ['white space', 'QUJD QUJD'],
    ['the alphabet for URLs', 'QU-_'],
    ['padding in the middle', 'QQ==QUJD'],
    ['padding alone', '===='],
    ['bits left over', 'QR=='],
    ['other bits left over', 'QUL='],
  ])('refuses %s', (_what, text) => {
    expect(decodeBase64(text)).toBeUndefined()
  })

  test('of nothing is nothing', () => {
    expect(decodeBase64('')).toEqual(Buffer.alloc(0))
  })
})
