import { ASPECT_RATIOS, MODELS, SIZES } from '@nanobanana/shared'
import { describe, expect, it } from 'vitest'
import { pixelSize } from './pixel-sizes.ts'

describe('pixelSize', () => {
  it.each([
    ['gemini-nano-banana-2.1', '16:9', '1K', [1376, 768]],
    ['gemini-nano-banana-2.1', '16:9', '2K', [2752, 1536]],
    ['gemini-nano-banana-2.1', '16:9', '4K', [5504, 3072]],
    ['gemini-3-pro-image', '2:3', '1K', [848, 1264]],
    ['gemini-3-pro-image', '21:9', '4K', [6336, 2688]],
    ['gemini-3.1-flash-image', '4:5', '512', [464, 576]],
    ['gemini-3.1-flash-image', '8:1', '4K', [12288, 1536]],
    ['gemini-3.1-flash-image', '1:8', '1K', [384, 3072]],
    ['gemini-2.5-flash-image', '16:9', '1K', [1344, 768]],
    ['gemini-2.5-flash-image', '21:9', '1K', [1536, 672]],
    ['gemini-2.5-flash-image', '4:3', '1K', [1184, 864]],
    ['some-later-model', '1:1', '2K', [2048, 2048]],
  ] as const)('of %s at %s and %s is %j', (model, ratio, size, expected) => {
    expect(pixelSize(model, ratio, size)).toEqual(expected)
  })

  it('without a ratio is square', () => {
    expect(pixelSize('gemini-2.5-flash-image')).toEqual([1024, 1024])
    expect(pixelSize('gemini-nano-banana-2.1', undefined, '4K')).toEqual([4096, 4096])
  })

  it('is near the ratio asked for, for everything in the catalogue', () => {
    for (const model of MODELS)
      for (const ratio of ASPECT_RATIOS)
        for (const size of SIZES) {
          const [width, height] = pixelSize(model.id, ratio, size)
          const [across = 1, down = 1] = ratio.split(':').map(Number)
          expect(width / height / (across / down)).toBeGreaterThan(0.95)
          expect(width / height / (across / down)).toBeLessThan(1.05)
        }
  })
})
