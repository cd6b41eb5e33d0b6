import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AnswerCutter } from './gemini-cutter.ts'

function cut(text: string | Buffer, sizes: readonly number[] = [7]) {
  const cutter = new AnswerCutter()
  const bytes = Buffer.from(text)
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1
    cutter.push(bytes.subarray(at, at + size))
    at += size
  }
  return cutter.end()
}

describe('AnswerCutter', () => {
  test('undoes the escapes that some encoders write, wherever the chunks end', () => {
    const picture = Buffer.from(Array.from({ length: 300 }, (_, i) => (i * 251) % 256))
    const base64 = picture.toString('base64')
    const escaped = base64
      .replaceAll('/', '\\/')
      .replaceAll('+', '\\u002B')
      .replaceAll('=', '\\u003d')
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1 }), (sizes) => {
        const { blobs } = cut(`{"thoughtSignature":"${escaped}","data":"${escaped}"}`, sizes)
        expect(blobs).toEqual([picture])
      }),
    )
  })

  test('cuts pictures out and drops signatures, wherever the chunks end', () => {
    const picture = randomBytes(1000)
    const signature = randomBytes(1000).toString('base64')
    const answer = (data: string, thoughtSignature: string) => ({
      parts: [
        { text: 'Grüße 🍌', thoughtSignature },
        { inlineData: { mimeType: 'image/png', data }, thoughtSignature },
        { inline_data: { data } },
      ],
    })
    const text = JSON.stringify(answer(picture.toString('base64'), signature), null, 1)
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1 }), (sizes) => {
        const { text: rest, blobs } = cut(text, sizes)
        const expected = answer('@0', '')
        const [, , third] = expected.parts
        if (third?.inline_data !== undefined) third.inline_data.data = '@1'
        expect(JSON.parse(rest)).toEqual(expected)
        expect(blobs).toEqual([picture, picture])
      }),
      { numRuns: 300 },
    )
  })

  test('leaves every JSON text without such members as it is', () => {
    fc.assert(
      fc.property(fc.json(), fc.integer({ min: 1, max: 50 }), (text, size) => {
        fc.pre(!/"(data|thoughtSignature)"\s*:\s*"/.test(text))
        expect(cut(text, [size])).toEqual({ text, blobs: [] })
      }),
    )
  })

  test('is not led astray by text that speaks of such members', () => {
    const text = JSON.stringify({ text: 'set "data": "abc" and "thoughtSignature":"x"', data: 5 })
    expect(cut(text)).toEqual({ text, blobs: [] })
  })

  test.each([
    ['a character outside the alphabet', 'AAA*'],
    ['an escape of what is none', 'AA\\u0021A'],
    ['a broken escape', 'AA\\u00xxA'],
    ['a length that no bytes have', 'AAAAA'],
    ['padding in the middle', 'AA==AAAA'],
    ['white space', 'AAAA AAA'],
  ])('%s is no base64', (_, data) => {
    for (const size of [1, 3, 4, 100])
      expect(cut(`{"data":"${data}"}`, [size]).blobs).toEqual([undefined])
  })

  test('an empty picture has no bytes', () => {
    expect(cut('{"data":""}')).toEqual({ text: '{"data":"@0"}', blobs: [Buffer.alloc(0)] })
  })

  test('an answer that is cut off inside a picture is no JSON', () => {
    expect(() => JSON.parse(cut('{"data":"AAAA').text)).toThrow(SyntaxError)
  })
})
