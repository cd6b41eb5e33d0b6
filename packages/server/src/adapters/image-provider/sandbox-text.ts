/** Beyond it no size of letters would hold the rest. */
const MAX_CHARACTERS = 1200
const LINE_HEIGHT = 1.3

export interface TextBlock {
  readonly lines: readonly string[]
  readonly fontSize: number
  readonly lineHeight: number
}

interface Area {
  readonly width: number
  readonly height: number
  readonly largest: number
  readonly smallest: number
}

/** Breaks words into lines at the largest size of letters that fits; what never fits ends in "…". */
export function fitText(
  words: readonly string[],
  { width, height, largest, smallest }: Area,
): TextBlock {
  for (let fontSize = largest; ; fontSize *= 0.92) {
    const lineHeight = fontSize * LINE_HEIGHT
    const lines = wrap(words, width / fontSize)
    const room = Math.max(1, Math.floor(height / lineHeight))
    const unbroken = words.every((word) => isEndless(word) || ems(word) <= width / fontSize)
    const isSmall = fontSize < smallest
    if (lines.length <= room && (unbroken || isSmall)) return { lines, fontSize, lineHeight }
    if (isSmall) return { lines: cut(lines, room), fontSize, lineHeight }
  }
}

/** Room the block takes, from the top of its first line to the foot of its last. */
export const blockHeight = ({ lines, lineHeight }: TextBlock): number => lines.length * lineHeight

// Left out: emoji and what joins and colours them, which the font lacks, and what XML forbids.
const UNPRINTABLE =
  /\p{Extended_Pictographic}|\p{Emoji_Modifier}|\p{Regional_Indicator}|\p{Variation_Selector}|\p{C}/gu

// Vietnamese and other letters the font has only without their accents.
const RARE_ACCENTS = /[\u1e00-\u1eff]/g

/** The words of a text, without what cannot be drawn. */
export function wordsOf(text: string): string[] {
  const printable = (text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}…` : text)
    .normalize('NFC')
    .replaceAll(/\s/g, ' ')
    .replaceAll(UNPRINTABLE, '')
    .replaceAll(RARE_ACCENTS, (letter) => letter.normalize('NFD').charAt(0))
  return printable.split(' ').filter((word) => word !== '')
}

/** `width` in ems. */
function wrap(words: readonly string[], width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const part of words.flatMap((word) => breakWord(word, width))) {
    const longer = line === '' ? part : `${line} ${part}`
    if (line !== '' && ems(longer) > width) {
      lines.push(line)
      line = part
    } else {
      line = longer
    }
  }
  return line === '' ? lines : [...lines, line]
}

/** Not worth smaller letters only to keep it in one piece. */
const isEndless = (word: string): boolean => word.length > 20

/** A word wider than a line, such as Chinese text, breaks anywhere. */
function breakWord(word: string, width: number): string[] {
  if (ems(word) <= width) return [word]
  const parts: string[] = []
  let part = ''
  for (const character of word) {
    if (part !== '' && ems(part + character) > width) {
      parts.push(part)
      part = ''
    }
    part += character
  }
  return [...parts, part]
}

function cut(lines: readonly string[], room: number): string[] {
  const kept = lines.slice(0, room)
  return [...kept.slice(0, -1), `${(kept.at(-1) ?? '').replace(/.{0,3}$/u, '')}…`]
}

// Widths of Rubik's letters, rounded up: a line must not outgrow its area.
const NARROW = /[ijlI.,:;'!|()[\]{}`\u05d5\u05d9\u0627]/
const WIDE = /[mwMWO@%\u2014\u0416\u0428\u0429\u042e\u0444\u0448\u0449]/
const ems = (text: string): number => {
  let sum = 0
  for (const character of text) sum += em(character)
  return sum
}
const em = (character: string): number => {
  if (character === ' ') return 0.25
  if (NARROW.test(character)) return 0.32
  if (WIDE.test(character)) return 0.93
  if (/\p{M}/u.test(character)) return 0
  if (character >= '\u1100') return 1
  return /[\p{Lu}\d&#]/u.test(character) ? 0.7 : 0.6
}
