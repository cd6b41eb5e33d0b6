import { blockHeight, fitText, wordsOf, type TextBlock } from './sandbox-text.ts'

export const FONT_FAMILY = 'Rubik'

export interface PictureFacts {
  readonly prompt: string
  /** Of colours and shapes: 32 bytes. */
  readonly seed: Buffer
  /** Said at the foot, parts of a line. */
  readonly footer: readonly string[]
  readonly width: number
  readonly height: number
}

/** Draws the sandbox's picture as SVG: the same facts, the same picture. */
export function drawPicture({ prompt, seed, footer, width, height }: PictureFacts): string {
  const words = wordsOf(prompt)
  const layout = layOut(width, height, footer, words.length > 0)
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="${FONT_FAMILY}" font-weight="500">
${background(width, height, seed)}
${banana(layout.banana, tiltOf(seed))}
${promptText(words, layout.text)}
${footerText(layout.footer)}
</svg>`
}

interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

interface FooterLayout {
  readonly box: Box
  readonly block: TextBlock
}

interface Layout {
  readonly banana: Box
  readonly text: Box
  readonly footer: FooterLayout
}

/** The banana stands beside the prompt in a wide picture, above it in any other, alone if need be. */
function layOut(
  width: number,
  height: number,
  footer: readonly string[],
  hasText: boolean,
): Layout {
  const short = Math.min(width, height)
  const margin = Math.round(short * 0.075)
  const inner = width - 2 * margin
  const foot = footerAt(footer, { margin, inner, height, letters: short * 0.027 })
  const bottom = foot.box.y - margin * 0.6
  const room = bottom - margin
  if (!hasText) {
    const side = Math.min(inner, room)
    const y = margin + (room - side) / 2
    const banana = { x: (width - side) / 2, y, width: side, height: side }
    return { banana, text: banana, footer: foot }
  }
  if (width > height * 1.2) {
    const side = Math.min(room, width * 0.34)
    return {
      banana: {
        x: width - margin - side,
        y: margin + (room - side) / 2,
        width: side,
        height: side,
      },
      text: { x: margin, y: margin, width: inner - side - margin, height: room },
      footer: foot,
    }
  }
  const side = Math.min(inner, room * 0.52)
  const top = margin + side + margin * 0.5
  return {
    banana: { x: (width - side) / 2, y: margin, width: side, height: side },
    text: { x: margin, y: top, width: inner, height: bottom - top },
    footer: foot,
  }
}

function footerAt(
  footer: readonly string[],
  at: { margin: number; inner: number; height: number; letters: number },
): FooterLayout {
  const letters = Math.max(at.letters, 17)
  const isNarrow = at.inner < letters * 20
  const lines = isNarrow ? 4 : footer.length > 5 ? 2 : 1
  // A line breaks between the parts, not inside one.
  const parts = footer.map((part, index) => (index < footer.length - 1 ? `${part} ·` : part))
  const block = fitText(parts, {
    width: at.inner,
    height: letters * 1.3 * lines,
    largest: letters,
    smallest: isNarrow ? letters : letters * 0.7,
  })
  const height = blockHeight(block)
  const y = at.height - at.margin * 0.7 - height
  return { box: { x: at.margin, y, width: at.inner, height }, block }
}

function background(width: number, height: number, seed: Buffer): string {
  const hue = (byte(seed, 0) * 256 + byte(seed, 1)) % 360
  const colour = (turn: number, saturation: number, lightness: number) =>
    `hsl(${(hue + turn) % 360}, ${saturation}%, ${lightness}%)`
  const discs = [0, 1, 2, 3].map((index) => {
    const [x, y, size] = [2, 3, 4].map((offset) => byte(seed, index * 3 + offset) / 255)
    const radius = Math.min(width, height) * (0.16 + 0.34 * (size ?? 0))
    const at = `cx="${round(width * (x ?? 0))}" cy="${round(height * (y ?? 0))}"`
    return `<circle ${at} r="${round(radius)}" fill="#fff" opacity="0.055"/>`
  })
  return `<defs><linearGradient id="sky" x1="0" y1="0" x2="1" y2="1"><stop offset="0" stop-color="${colour(0, 58, 19)}"/><stop offset="0.55" stop-color="${colour(28, 56, 30)}"/><stop offset="1" stop-color="${colour(62, 54, 42)}"/></linearGradient>
<linearGradient id="peel" x1="0" y1="0" x2="0.7" y2="1"><stop offset="0" stop-color="#fff0a0"/><stop offset="0.45" stop-color="#ffd93b"/><stop offset="1" stop-color="#eba417"/></linearGradient></defs>
<rect width="${width}" height="${height}" fill="url(#sky)"/>
${discs.join('')}`
}

/** Drawn in a square of 200. */
function banana({ x, y, width }: Box, tilt: number): string {
  return `<g transform="translate(${round(x)} ${round(y)}) scale(${round(width / 200)})">
<circle cx="100" cy="100" r="96" fill="#fff" opacity="0.09"/>
<ellipse cx="104" cy="172" rx="54" ry="7" fill="#000" opacity="0.18"/>
<g transform="rotate(${tilt} 100 100)">
<path d="M50 41 C30 92 62 168 146 165 C158 164.500 165 160 169 153 C172 147 168 142 161 142 C118 142 88 104 73 37 Z" fill="url(#peel)"/>
<path d="M60 42 C57 96 92 152 166 149" fill="none" stroke="#d98f0c" stroke-width="2.600" stroke-linecap="round" opacity="0.75"/>
<path d="M51.500 52 C44 92 62 132 97 150" fill="none" stroke="#fff7cf" stroke-width="4" stroke-linecap="round" opacity="0.7"/>
<path d="M50 42 C51 34 50 27 47 21 L62 16 C64 24 68 31 73.500 38 C66 44 57 45 50 42 Z" fill="#a97f1d"/>
<path d="M47 21 L62 16 L60.500 11.500 C55 10.500 49 13 45.500 17 Z" fill="#5d4210"/>
<path d="M169 153 C172 147 168 142 161 142 C164 146 164.500 151 162.500 158.500 C165.500 157 167.500 155.500 169 153 Z" fill="#5d4210"/>
</g></g>`
}

function promptText(words: readonly string[], area: Box): string {
  const short = Math.min(area.width, area.height)
  const block = fitText(words, {
    width: area.width,
    height: area.height,
    largest: Math.min(84, short * 0.3),
    smallest: 18,
  })
  // In the middle of its area, but not far below a banana above it.
  const above = Math.min((area.height - blockHeight(block)) / 2, area.width * 0.4)
  return textAt(block, area.x, area.y + above)
}

const footerText = ({ box, block }: FooterLayout): string =>
  `<g opacity="0.78">${textAt(block, box.x, box.y)}</g>`

function textAt({ lines, fontSize, lineHeight }: TextBlock, x: number, y: number): string {
  const rows = lines.map((line, index) => {
    const baseline = y + index * lineHeight + fontSize
    return `<text x="${round(x)}" y="${round(baseline)}" font-size="${round(fontSize)}" fill="#fff">${escape(line)}</text>`
  })
  return rows.join('\n')
}

const tiltOf = (seed: Buffer): number => (byte(seed, 20) % 25) - 12
const byte = (seed: Buffer, index: number): number => seed[index] ?? 0
const round = (value: number): string => value.toFixed(2)

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}
const escape = (text: string): string =>
  text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? '')
