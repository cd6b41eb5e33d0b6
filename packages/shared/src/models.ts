/**
 * The model catalogue as data. Validation, `GET /v1/models`, prices, the OpenAPI document and the
 * SDK's types come from here; adding a model is a change of this table.
 */

export const SIZES = ['512', '1K', '2K', '4K'] as const
export type Size = (typeof SIZES)[number]

export const ASPECT_RATIOS = [
  '1:1',
  '2:3',
  '3:2',
  '3:4',
  '4:3',
  '4:5',
  '5:4',
  '9:16',
  '16:9',
  '21:9',
  '1:4',
  '4:1',
  '1:8',
  '8:1',
] as const
export type AspectRatio = (typeof ASPECT_RATIOS)[number]

const TEN_RATIOS = ASPECT_RATIOS.slice(0, 10)

/** Prices in micro-dollars per million tokens: $1.50 is 1_500_000. */
export interface Prices {
  readonly inputMicrosPerMillion: number
  /** Text and thinking output. */
  readonly textOutputMicrosPerMillion: number
  readonly imageOutputMicrosPerMillion: number
}

export interface Model {
  readonly id: string
  readonly name: string
  readonly aliases: readonly string[]
  readonly status: 'stable' | 'deprecated'
  readonly aspectRatios: readonly AspectRatio[]
  readonly sizes: readonly Size[]
  /** False where the provider must not be sent a size: the model has only the one. */
  readonly sendsSize: boolean
  readonly maxInputImages: number
  /** Output tokens of one image by size, for estimates. */
  readonly imageTokens: Readonly<Partial<Record<Size, number>>>
  /** Output text tokens a reservation allows for. */
  readonly textAllowanceTokens: number
  readonly prices: Prices
  /** Day the prices were read from Google's price page. */
  readonly pricesAsOf: string
  /** When the model was announced, as seconds since 1970 (the OpenAI list shape's `created`). */
  readonly created: number
}

const day = (iso: string): number => Date.parse(`${iso}T00:00:00Z`) / 1000
const perMillion = (input: number, text: number, image: number): Prices => ({
  inputMicrosPerMillion: input * 1e6,
  textOutputMicrosPerMillion: text * 1e6,
  imageOutputMicrosPerMillion: image * 1e6,
})
const common = { textAllowanceTokens: 1000, pricesAsOf: '2026-10-09' } as const

export const MODELS: readonly Model[] = [
  {
    ...common,
    id: 'gemini-nano-banana-2.1',
    name: 'Nano Banana 2.1',
    aliases: ['nano-banana-2.1', 'nano-banana'],
    status: 'stable',
    aspectRatios: ASPECT_RATIOS,
    sizes: ['1K', '2K', '4K'],
    sendsSize: true,
    maxInputImages: 14,
    imageTokens: { '1K': 1120, '2K': 1680, '4K': 3780 },
    prices: perMillion(1.5, 7.5, 30),
    created: day('2026-10-06'),
  },
  {
    ...common,
    id: 'gemini-3.1-flash-lite-image',
    name: 'Nano Banana 2 Lite',
    aliases: ['nano-banana-2-lite'],
    status: 'stable',
    // Sources differ between ten and fourteen ratios; the ten are safe.
    aspectRatios: TEN_RATIOS,
    sizes: ['1K'],
    sendsSize: false,
    maxInputImages: 3,
    imageTokens: { '1K': 1120 },
    prices: perMillion(0.25, 1.5, 30),
    created: day('2026-06-01'),
  },
  {
    ...common,
    id: 'gemini-3-pro-image',
    name: 'Nano Banana Pro',
    aliases: ['nano-banana-pro'],
    status: 'stable',
    aspectRatios: TEN_RATIOS,
    sizes: ['1K', '2K', '4K'],
    sendsSize: true,
    maxInputImages: 14,
    imageTokens: { '1K': 1120, '2K': 1120, '4K': 2000 },
    prices: perMillion(2, 12, 120),
    created: day('2026-05-28'),
  },
  {
    ...common,
    id: 'gemini-3.1-flash-image',
    name: 'Nano Banana 2',
    aliases: ['nano-banana-2'],
    status: 'deprecated',
    aspectRatios: ASPECT_RATIOS,
    sizes: ['512', '1K', '2K', '4K'],
    sendsSize: true,
    maxInputImages: 14,
    imageTokens: { '512': 747, '1K': 1120, '2K': 1680, '4K': 2520 },
    prices: perMillion(0.5, 3, 60),
    created: day('2026-05-28'),
  },
  {
    ...common,
    id: 'gemini-2.5-flash-image',
    name: 'Nano Banana (2.5)',
    aliases: [],
    status: 'deprecated',
    aspectRatios: TEN_RATIOS,
    sizes: ['1K'],
    // Sending imageSize to this model was answered with 500 INTERNAL.
    sendsSize: false,
    maxInputImages: 3,
    imageTokens: { '1K': 1290 },
    prices: perMillion(0.3, 2.5, 30),
    created: day('2025-10-02'),
  },
]

export const DEFAULT_MODEL = 'gemini-nano-banana-2.1'
