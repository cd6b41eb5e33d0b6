import type { GenerateRequest } from './generate-request.ts'

export interface ModalityCount {
  modality: 'TEXT' | 'IMAGE'
  tokenCount: number
}

export interface Usage {
  promptTokenCount: number
  candidatesTokenCount?: number
  totalTokenCount: number
  promptTokensDetails: ModalityCount[]
  candidatesTokensDetails?: ModalityCount[]
  thoughtsTokenCount?: number
  serviceTier: string
}

/** An answer whose pictures are listed by modality, while its text is only in the sum. */
export function answerUsage(request: GenerateRequest, images: number): Usage {
  const { model, size } = request
  const imageTokens = images * (model.imageTokens[size] ?? 0)
  const candidates = imageTokens + model.overheadTokens
  const prompt = promptUsage(request)
  return {
    ...prompt,
    candidatesTokenCount: candidates,
    totalTokenCount: prompt.totalTokenCount + candidates,
    ...(images > 0 && {
      candidatesTokensDetails: [{ modality: 'IMAGE', tokenCount: imageTokens }],
    }),
  }
}

/** What a refusal is still charged: the prompt and the thoughts. */
export function promptUsage(request: GenerateRequest): Usage {
  const { model, prompt, serviceTier } = request
  const inputImages = prompt.images * model.inputImageTokens
  const promptTokenCount = prompt.textTokens + inputImages
  return {
    promptTokenCount,
    totalTokenCount: promptTokenCount + model.thoughtsTokens,
    promptTokensDetails: [
      { modality: 'TEXT', tokenCount: prompt.textTokens },
      ...(inputImages > 0 ? [{ modality: 'IMAGE' as const, tokenCount: inputImages }] : []),
    ],
    ...(model.thoughtsTokens > 0 && { thoughtsTokenCount: model.thoughtsTokens }),
    serviceTier,
  }
}
