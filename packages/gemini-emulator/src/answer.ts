import { randomBytes } from 'node:crypto'

import type { Call } from './call.ts'
import type { JsonObject } from './json.ts'
import { pixelsFor } from './models.ts'
import { pictureBase64 } from './pictures.ts'
import type { PictureStyle, PictureType } from './pictures.ts'
import { signature } from './signatures.ts'
import { answerUsage } from './usage.ts'
import type { Usage } from './usage.ts'

export interface Part extends JsonObject {
  text?: string
  inlineData?: { mimeType?: string; data: string }
  thoughtSignature?: string
  thought?: boolean
}

export interface AnswerBody {
  candidates?: JsonObject[]
  promptFeedback?: JsonObject
  usageMetadata: Usage
  modelVersion: string
  responseId: string
}

export interface PictureChange {
  /** A draft has half the width and height, so that it can be told from the final picture. */
  draft?: boolean
  style?: PictureStyle
  ignoreSize?: boolean
  ignoreRatio?: boolean
}

export function envelope(call: Call, usageMetadata: Usage): AnswerBody {
  const responseId = randomBytes(17).toString('base64url')
  return { usageMetadata, modelVersion: call.request.model.id, responseId }
}

export function answer(call: Call, parts: readonly Part[], finishReason = 'STOP'): AnswerBody {
  const images = parts.filter((part) => part.inlineData).length
  return {
    candidates: [{ content: { parts, role: 'model' }, finishReason, index: 0 }],
    ...envelope(call, answerUsage(call.request, images)),
  }
}

/** The text before the picture: nothing when the caller asked for pictures only. */
export function leadingText(call: Call): Part[] {
  const { request } = call
  const thought = { text: '**Composing the picture**\n\n', thought: true }
  return [
    ...(request.includeThoughts && request.model.signs ? [thought] : []),
    ...(request.wantsText ? [textPart(call)] : []),
  ]
}

export function textPart(call: Call): Part {
  return sign(call, { text: call.settings.text ?? 'Here is the picture you asked for.' })
}

export async function imagePart(call: Call, change: PictureChange = {}): Promise<Part> {
  const data = await picture(call, change)
  return sign(call, { inlineData: { mimeType: pictureType(call), data } })
}

export function picture(call: Call, change: PictureChange = {}): Promise<string> {
  const { model, ratio, size } = call.request
  const [width, height] = pixelsFor(
    model,
    change.ignoreRatio ? '1:1' : ratio,
    change.ignoreSize ? '1K' : size,
  )
  const divisor = change.draft ? 2 : 1
  return pictureBase64({
    mimeType: pictureType(call),
    width: width / divisor,
    height: height / divisor,
    style: change.style ?? call.pictureStyle,
  })
}

export function pictureType(call: Call): PictureType {
  return call.request.model.mimeType
}

function sign(call: Call, part: Part): Part {
  if (!call.request.model.signs) return part
  return {
    ...part,
    thoughtSignature: signature(call.settings.signatureBytes ?? call.signatureBytes),
  }
}
