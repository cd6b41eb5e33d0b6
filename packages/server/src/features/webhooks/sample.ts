import type { Generation } from '@nanobanana/shared'

const ID = '01890000000070008000000000'

/** A generation that never was, for tests of an endpoint. */
export const sampleGeneration = (publicUrl: string, at: Date): Generation => {
  const content = `${publicUrl}/v1/images/img_${ID}/content`
  return {
    id: `gen_${ID}`,
    object: 'generation',
    status: 'succeeded',
    url: content,
    prompt: 'a banana',
    created_at: at.toISOString(),
    completed_at: at.toISOString(),
    model: 'gemini-nano-banana-2.1',
    mode: 'test',
    parent_id: null,
    images: [
      {
        id: `img_${ID}`,
        url: content,
        url_expires_at: null,
        thumbnail_url: `${content}?width=256`,
        mime_type: 'image/png',
        width: 1024,
        height: 1024,
        bytes: 12_345,
        sha256: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
        storage: 'disk',
        expired: false,
      },
    ],
    text: null,
    requested: {
      aspect_ratio: null,
      size: '1K',
      n: 1,
      input_images: 0,
      output_format: null,
      output_quality: null,
      seed: null,
      thinking_level: null,
    },
    warnings: [],
    usage: { input_tokens: 0, output_tokens: 0, images: 1, cost_usd: 0 },
    error: null,
    metadata: {},
    user: null,
  }
}
