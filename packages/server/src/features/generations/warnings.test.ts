import { MODELS } from '@nanobanana/shared'
import { expect, test } from 'vitest'
import { pixelSize } from '../../adapters/image-provider/pixel-sizes.ts'
import { warningsOf } from './warnings.ts'

const codes = (...args: Parameters<typeof warningsOf>) =>
  warningsOf(...args).map(({ code }) => code)

test('a picture as the provider’s own tables have it carries no warning', () => {
  for (const { id, sizes, aspectRatios } of MODELS)
    for (const size of sizes)
      for (const aspectRatio of [...aspectRatios, undefined]) {
        const [width, height] = pixelSize(id, aspectRatio, size)
        expect(codes({ aspectRatio, size }, { width, height }), `${id} ${aspectRatio}`).toEqual([])
      }
})

test('the ratio that Pro chooses by itself carries none either', () => {
  const measured = { width: 1408, height: 768 }
  expect(codes({ aspectRatio: undefined, size: '1K' }, measured)).toEqual([])
})

test.each([
  ['16:9', '1K', 1024, 1024, ['aspect_ratio_differs']],
  ['9:16', '1K', 1376, 768, ['aspect_ratio_differs']],
  ['16:9', '2K', 1376, 768, ['size_differs']],
  ['1:1', '1K', 2048, 2048, ['size_differs']],
  ['1:1', '4K', 2752, 1536, ['aspect_ratio_differs', 'size_differs']],
  ['1:1', '512', 1024, 1024, ['size_differs']],
] as const)('%s at %s that came as %ix%i', (aspectRatio, size, width, height, expected) => {
  const warnings = warningsOf({ aspectRatio, size }, { width, height })
  expect(warnings.map(({ code }) => code)).toEqual(expected)
  for (const { message } of warnings) expect(message).toContain(`${width}x${height}`)
})
