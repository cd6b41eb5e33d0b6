export type ImageSize = '512' | '1K' | '2K' | '4K'
export type Pixels = readonly [width: number, height: number]

export interface ModelSpec {
  id: string
  displayName: string
  sizes: readonly ImageSize[]
  /** The oldest model has no size parameter at all and breaks on it instead of refusing it. */
  breaksOnImageSize: boolean
  ratios: readonly string[]
  pixels: Readonly<Record<string, Pixels>>
  /** What the model chooses when no ratio is asked. */
  freePixels: Pixels
  mimeType: 'image/png' | 'image/jpeg'
  signs: boolean
  imageTokens: Readonly<Partial<Record<ImageSize, number>>>
  /** Tokens of the answer beyond those of the picture; Google counts them but does not list them. */
  overheadTokens: number
  thoughtsTokens: number
  inputImageTokens: number
  thinkingLevels: readonly string[]
  maxInputImages: number | undefined
  inputTokenLimit: number
  outputTokenLimit: number
}

const TEN_RATIOS = ['1:1', '2:3', '3:2', '3:4', '4:3', '4:5', '5:4', '9:16', '16:9', '21:9']
const FOURTEEN_RATIOS = [...TEN_RATIOS, '1:4', '4:1', '1:8', '8:1']

const PORTRAIT_2_5: Record<string, Pixels> = {
  '1:1': [1024, 1024],
  '2:3': [832, 1248],
  '3:4': [864, 1184],
  '4:5': [896, 1152],
  '9:16': [768, 1344],
}
const PORTRAIT_3: Record<string, Pixels> = {
  '1:1': [1024, 1024],
  '2:3': [848, 1264],
  '3:4': [896, 1200],
  '4:5': [928, 1152],
  '9:16': [768, 1376],
  '1:4': [512, 2048],
  '1:8': [384, 3072],
}
const PORTRAIT_512: Record<string, Pixels> = {
  '1:1': [512, 512],
  '2:3': [424, 632],
  '3:4': [448, 600],
  '4:5': [464, 576],
  '9:16': [384, 688],
  '1:4': [256, 1024],
  '1:8': [192, 1536],
}

export const PIXELS_2_5: Readonly<Record<string, Pixels>> = {
  ...withLandscape(PORTRAIT_2_5),
  '21:9': [1536, 672],
}
export const PIXELS_3: Readonly<Record<string, Pixels>> = {
  ...withLandscape(PORTRAIT_3),
  '21:9': [1584, 672],
}
export const PIXELS_512: Readonly<Record<string, Pixels>> = {
  ...withLandscape(PORTRAIT_512),
  // As Google publishes it, though it looks like a slip for 792x336.
  '21:9': [792, 168],
}

const GEMINI_3 = {
  breaksOnImageSize: false,
  pixels: PIXELS_3,
  freePixels: [1024, 1024],
  mimeType: 'image/jpeg',
  signs: true,
  overheadTokens: 163,
  thoughtsTokens: 174,
  inputImageTokens: 258,
  inputTokenLimit: 131_072,
  outputTokenLimit: 32_768,
} as const

export const MODELS: readonly ModelSpec[] = [
  {
    ...GEMINI_3,
    id: 'gemini-nano-banana-2.1',
    displayName: 'Nano Banana 2.1',
    sizes: ['1K', '2K', '4K'],
    ratios: FOURTEEN_RATIOS,
    imageTokens: { '1K': 1120, '2K': 1680, '4K': 3780 },
    thinkingLevels: ['MINIMAL', 'MEDIUM', 'HIGH'],
    maxInputImages: 14,
  },
  {
    ...GEMINI_3,
    id: 'gemini-3.1-flash-lite-image',
    displayName: 'Nano Banana 2 Lite',
    sizes: ['1K'],
    // Sources differ between ten and fourteen ratios; the narrower set is the safer teacher.
    ratios: TEN_RATIOS,
    imageTokens: { '1K': 1120 },
    thinkingLevels: ['MINIMAL', 'HIGH'],
    maxInputImages: undefined,
    inputTokenLimit: 65_536,
    outputTokenLimit: 4096,
  },
  {
    ...GEMINI_3,
    id: 'gemini-3-pro-image',
    displayName: 'Nano Banana Pro',
    sizes: ['1K', '2K', '4K'],
    ratios: TEN_RATIOS,
    freePixels: [1408, 768],
    imageTokens: { '1K': 1120, '2K': 1120, '4K': 2000 },
    inputImageTokens: 1120,
    thinkingLevels: [],
    maxInputImages: 14,
  },
  {
    ...GEMINI_3,
    id: 'gemini-3.1-flash-image',
    displayName: 'Nano Banana 2',
    sizes: ['512', '1K', '2K', '4K'],
    ratios: FOURTEEN_RATIOS,
    imageTokens: { '512': 747, '1K': 1120, '2K': 1680, '4K': 2520 },
    thinkingLevels: ['MINIMAL', 'HIGH'],
    maxInputImages: 14,
  },
  {
    id: 'gemini-2.5-flash-image',
    displayName: 'Nano Banana',
    sizes: ['1K'],
    breaksOnImageSize: true,
    ratios: TEN_RATIOS,
    pixels: PIXELS_2_5,
    freePixels: [1024, 1024],
    mimeType: 'image/png',
    signs: false,
    imageTokens: { '1K': 1290 },
    overheadTokens: 46,
    thoughtsTokens: 0,
    inputImageTokens: 258,
    thinkingLevels: [],
    maxInputImages: undefined,
    inputTokenLimit: 32_768,
    outputTokenLimit: 32_768,
  },
]

/** Every ratio any model knows, in the order of Google's own error text. */
export const KNOWN_RATIOS: readonly string[] = FOURTEEN_RATIOS.toSorted((one, other) =>
  one.localeCompare(other, 'en', { numeric: true }),
)

export function findModel(id: string): ModelSpec | undefined {
  return MODELS.find((model) => model.id === id)
}

export function pixelsFor(model: ModelSpec, ratio: string | undefined, size: ImageSize): Pixels {
  if (size === '512') return PIXELS_512[ratio ?? '1:1'] ?? [512, 512]
  const [width, height] = (ratio && model.pixels[ratio]) || model.freePixels
  const factor = { '1K': 1, '2K': 2, '4K': 4 }[size]
  return [width * factor, height * factor]
}

function withLandscape(portrait: Record<string, Pixels>): Record<string, Pixels> {
  const landscape = Object.entries(portrait).map(([ratio, [width, height]]) => [
    ratio.split(':').toReversed().join(':'),
    [height, width] as const,
  ])
  return { ...portrait, ...Object.fromEntries(landscape) }
}
