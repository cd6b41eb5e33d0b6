import { describe, expect, test } from 'vitest'
import { readAnswer } from './gemini-answer.ts'

const bytes = Buffer.from('picture')
const picture = { inlineData: { mimeType: 'image/png', data: bytes } }

describe('what cannot be read beside a picture does not cost the picture', () => {
  test.each([
    ['no usage', {}],
    ['usage that is no object', { usageMetadata: 5 }],
    ['details that are no list', { usageMetadata: { candidatesTokensDetails: {} } }],
    ['an empty detail', { usageMetadata: { candidatesTokensDetails: [null] } }],
    ['a count that is none', { usageMetadata: { promptTokenCount: '8' } }],
    ['feedback that is no object', { promptFeedback: 5 }],
  ])('%s', (_what, beside) => {
    const answer = { candidates: [{ content: { parts: [picture] } }], ...beside }
    expect(readAnswer(answer, 1120)).toMatchObject({ bytes, usage: { imageOutputTokens: 1120 } })
  })

  test.each([
    ['an empty part', null],
    ['a text that is none', { text: 5 }],
    ['a thought that is no answer', { text: 'x', thought: 'yes' }],
  ])('%s', (_what, part) => {
    const answer = { candidates: [{ content: { parts: [part, picture] }, finishReason: 5 }] }
    expect(readAnswer(answer, 1120).bytes).toBe(bytes)
  })
})
