import { describe, expect, it } from 'vitest'
import { fitText, wordsOf } from './sandbox-text.ts'

const AREA = { width: 800, height: 400, largest: 80, smallest: 18 }

describe('fitText', () => {
  it('keeps short text large, on one line', () => {
    const block = fitText(wordsOf('a red fox'), AREA)
    expect(block).toMatchObject({ lines: ['a red fox'], fontSize: 80 })
  })

  it('breaks between words and shrinks until all fits', () => {
    const text = 'a quick brown fox jumps over the lazy dog and '.repeat(8).trim()
    const { lines, fontSize, lineHeight } = fitText(wordsOf(text), AREA)
    expect(lines.join(' ')).toBe(text)
    expect(lines.length * lineHeight).toBeLessThanOrEqual(AREA.height)
    expect(fontSize).toBeLessThan(60)
  })

  it('shrinks rather than break a word', () => {
    expect(fitText(['lighthouse'], { ...AREA, width: 200 }).lines).toEqual(['lighthouse'])
  })

  it('ends in "…" what never fits', () => {
    const { lines, lineHeight } = fitText(wordsOf('word '.repeat(2000)), { ...AREA, height: 60 })
    expect(lines.at(-1)).toMatch(/…$/)
    expect(lines.length * lineHeight).toBeLessThanOrEqual(60)
  })

  it('breaks a word without end anywhere', () => {
    const { lines } = fitText(['x'.repeat(300)], AREA)
    expect(lines.join('')).toBe('x'.repeat(300))
    expect(lines.length).toBeGreaterThan(1)
  })
})

describe('wordsOf', () => {
  it.each([
    ['emoji', 'a 🍌 b 👩‍🚀 c 🇩🇪 d 👍🏽 e ❤️ f', 'a b c d e f'],
    ['what XML forbids', 'a\u0000b\u0008\ud800c\uffff d\ufffe', 'abc d'],
    ['what turns the direction of text', 'a\u202ebc\u2066d', 'abcd'],
    ['space of all kinds', ' a\n\tb\u00a0 c\u3000d ', 'a b c d'],
    ['accents the font lacks', 'Việt Nam', 'Viet Nam'],
  ])('leaves out %s', (_what, text, words) => {
    expect(wordsOf(text).join(' ')).toBe(words)
  })

  it('keeps digits, signs and the scripts of the world', () => {
    const text = '#1 * 50% <b> & "x" é Привет שלום مرحبا 猫'
    expect(wordsOf(text).join(' ')).toBe(text)
  })
})
