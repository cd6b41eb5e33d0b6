import { answer, imagePart, leadingText, picture, pictureType, textPart } from '../answer.ts'
import type { Part } from '../answer.ts'
import type { Call } from '../call.ts'
import { defineScenarios, ok } from './define.ts'
import type { ScenarioDefinition } from './define.ts'

/** Answers of HTTP 200 that hold a picture, or something in its place. */
export const PICTURE_SCENARIOS = defineScenarios({
  success: {
    summary: 'what Google answers on a good day; `images` for more than one picture',
    reply: async (call) => ok(answer(call, await goodParts(call))),
  },
  'image-only': pictures('a picture and no text', async (call) => [await imagePart(call)]),
  'image-before-text': pictures('the picture comes first', async (call) => [
    await imagePart(call),
    textPart(call),
  ]),
  'drafts-flagged': {
    summary: '`images` pictures (3), the drafts are thoughts and half as large',
    defaults: { images: 3 },
    reply: async (call) => ok(answer(call, await withDrafts(call, { thought: true }))),
  },
  'drafts-unflagged': {
    summary: 'the same, the drafts look like ordinary pictures',
    defaults: { images: 3 },
    reply: async (call) => ok(answer(call, await withDrafts(call, {}))),
  },
  'thought-image': pictures('the only picture is a thought', async (call) => [
    { ...(await imagePart(call)), thought: true },
    ...leadingText(call),
  ]),
  'lying-mime': picturePart('declares the other mime type (or `mimeType`)', async (call) => {
    const other = pictureType(call) === 'image/png' ? 'image/jpeg' : 'image/png'
    const mimeType = call.settings.mimeType ?? other
    return { inlineData: { mimeType, data: await picture(call) } }
  }),
  'missing-mime': picturePart('a picture without mimeType', async (call) => ({
    inlineData: { data: await picture(call) },
  })),
  'empty-data': picturePart('a picture part with empty data', (call) => ({
    inlineData: { mimeType: pictureType(call), data: '' },
  })),
  'bad-base64': picturePart('data that is not base64', (call) => ({
    inlineData: { mimeType: pictureType(call), data: '%%% not base64 %%%' },
  })),
  'corrupt-image': picturePart('the first half of a picture', async (call) => {
    const data = await picture(call)
    return {
      inlineData: { mimeType: pictureType(call), data: data.slice(0, (data.length >> 3) * 4) },
    }
  }),
  'not-an-image': picturePart('base64 of a text', (call) => ({
    inlineData: {
      mimeType: pictureType(call),
      data: Buffer.from('this is not a banana').toString('base64'),
    },
  })),
  'snake-case': picturePart('inline_data and mime_type', async (call) => ({
    inline_data: { mime_type: pictureType(call), data: await picture(call) },
  })),
  'file-data': picturePart('a fileData part with a URI', (call) => ({
    fileData: { mimeType: pictureType(call), fileUri: `${call.redirectUrl}/picture` },
  })),
  'ignored-size': pictures('imageSize is ignored: 1K', async (call) => [
    ...leadingText(call),
    await imagePart(call, { ignoreSize: true }),
  ]),
  'ignored-ratio': pictures('aspectRatio is ignored: 1:1', async (call) => [
    ...leadingText(call),
    await imagePart(call, { ignoreRatio: true }),
  ]),
  'realistic-size': {
    summary: 'a noisy picture and large signatures: a body of more than 4 MB',
    defaults: { signatureBytes: 2_000_000 },
    reply: async (call) => {
      const parts = [...leadingText(call), await imagePart(call, { style: 'noise' })]
      return ok(answer(call, parts))
    },
  },
})

async function goodParts(call: Call): Promise<Part[]> {
  if (!call.request.wantsImage) return leadingText(call)
  const { images = 1 } = call.settings
  const pictures = await Promise.all(Array.from({ length: images }, () => imagePart(call)))
  return [...leadingText(call), ...pictures]
}

async function withDrafts(call: Call, mark: Pick<Part, 'thought'>): Promise<Part[]> {
  const { images = 3 } = call.settings
  const draft = { ...(await imagePart(call, { draft: true })), ...mark }
  const drafts = Array.from({ length: images - 1 }, () => draft)
  return [...leadingText(call), ...drafts, await imagePart(call)]
}

function pictures(summary: string, parts: (call: Call) => Promise<Part[]>): ScenarioDefinition {
  return { summary, reply: async (call) => ok(answer(call, await parts(call))) }
}

function picturePart(
  summary: string,
  part: (call: Call) => Part | Promise<Part>,
): ScenarioDefinition {
  return pictures(summary, async (call) => [...leadingText(call), await part(call)])
}
