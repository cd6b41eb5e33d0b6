import type { GenerateParams, GenerationResult, NanoBanana, StreamEvent } from '@nanobanana/sdk'
import { EXIT, exitCodeOf } from './exit-codes.ts'
import { CliError } from './failure.ts'
import { type Progress, startProgress } from './progress.ts'

/** Makes the images; an interrupt cancels them. A stream, since it tells the id at once. */
export async function make(client: NanoBanana, params: GenerateParams): Promise<GenerationResult> {
  const interrupt = new AbortController()
  const onSignal = () => interrupt.abort(new CliError(EXIT.interrupted, 'Interrupted.'))
  process.once('SIGINT', onSignal)
  process.once('SIGTERM', onSignal)
  try {
    return await listen(client, params, interrupt.signal)
  } finally {
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
}

async function listen(
  client: NanoBanana,
  params: GenerateParams,
  signal: AbortSignal,
): Promise<GenerationResult> {
  using progress = startProgress('sending')
  let images = 0
  for await (const event of client.generate.stream(params, { signal })) {
    if (event.type === 'generation.image') images++
    tell(progress, event, `${images} of ${params.n ?? 1}`)
    const ended = endOf(event)
    if (ended !== undefined) return ended
  }
  throw new CliError(EXIT.unavailable, 'The service told no end of it.')
}

function tell(progress: Progress, { type }: StreamEvent, made: string): void {
  if (type === 'generation.queued') progress.say('waiting its turn')
  if (type === 'generation.running') progress.say('being made')
  if (type === 'generation.image') progress.say(`being made, ${made} there`)
}

function endOf(event: StreamEvent): GenerationResult | undefined {
  if (event.type === 'generation.succeeded') return event.data
  if (event.type === 'generation.canceled') {
    const { id } = event.data
    throw new CliError(EXIT.failed, 'It was canceled.', { code: 'canceled', generation_id: id })
  }
  if (event.type === 'generation.failed') {
    const { id, error } = event.data
    const { type, code, message } = error ?? { type: '', code: 'failed', message: 'It failed.' }
    throw new CliError(exitCodeOf(type), message, { type, code, generation_id: id })
  }
  return undefined
}
