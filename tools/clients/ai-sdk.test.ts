import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { APICallError, generateImage, type ImageModel } from 'ai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { noise } from '../../packages/server/test/pictures.ts'
import { serve, type Served } from './service.ts'

let service: Served
beforeAll(async () => {
  service = await serve()
})
afterAll(() => service[Symbol.asyncDispose]())

const PROVIDERS: Record<string, () => ImageModel> = {
  '@ai-sdk/openai-compatible': () => {
    const { baseURL, key: apiKey } = service
    return createOpenAICompatible({ name: 'nanobanana', baseURL, apiKey }).imageModel('nano-banana')
  },
  '@ai-sdk/openai': () =>
    createOpenAI({ baseURL: service.baseURL, apiKey: service.key }).image('gpt-image-1'),
}

describe.each(Object.entries(PROVIDERS))('%s', (_, model) => {
  test('generateImage', async () => {
    const { images } = await generateImage({
      model: model(),
      prompt: 'a banana astronaut',
      size: '1536x1024',
      n: 2,
    })
    expect(images.map(({ mediaType }) => mediaType)).toEqual(['image/png', 'image/png'])
    expect(images[0]?.uint8Array.length).toBeGreaterThan(1000)
  })

  test('generateImage from images', async () => {
    const picture = new Uint8Array(await noise(64, 48).png().toBuffer())
    const images = [picture, picture]
    const made = await generateImage({ model: model(), prompt: { images, text: 'a hat' } })
    expect(made.image.mediaType).toBe('image/png')
  })

  test('a refusal is an APICallError that holds ours', async () => {
    const prompt = 'fail: content_blocked'
    const error = await generateImage({ model: model(), prompt }).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(APICallError)
    expect(error).toMatchObject({ statusCode: 422, isRetryable: false })
    expect((error as APICallError).message).toBe('as the prompt asked: content_blocked')
  })
})
