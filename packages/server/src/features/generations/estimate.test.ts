import { MODELS } from '@nanobanana/shared'
import { expect, test } from 'vitest'
import { estimateTokens } from './estimate.ts'

const model = MODELS[0]!
const { textAllowanceTokens: text } = model
const image = model.imageTokens['1K']!

test.each([
  ['a banana', 1, 0, 2],
  ['\u9999\u8549\u306e\u7d75', 1, 0, 4],
  ['a \u{1F34C}', 1, 0, 2],
  ['a banana', 4, 0, 8],
  ['a banana', 1, 2, 2 + 2 * 1120],
  ['a banana', 3, 1, 3 * (2 + 1120)],
])('%s, %i times, with %i images is %i tokens in', (prompt, n, images, inputTokens) => {
  expect(estimateTokens({ model, size: '1K', n }, prompt, images)).toEqual({
    inputTokens,
    textOutputTokens: n * text,
    imageOutputTokens: n * image,
  })
})
