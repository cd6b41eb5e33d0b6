import { setTimeout as sleep } from 'node:timers/promises'
import { ProviderError } from '../../ports/image-provider.ts'

const SCENARIO = /#sandbox:([a-z_]+)(?:=(\d+(?:\.\d+)?))?/g
const MAX_SLOW_SECONDS = 120
const RETRY_AFTER_MS = 2000

const FAULTS: Readonly<Record<string, () => ProviderError>> = {
  content_blocked: () =>
    new ProviderError('content_blocked', 'The sandbox blocked this prompt, as it was asked to.'),
  no_image: () =>
    new ProviderError('no_image', 'The sandbox answered without an image, as it was asked to.'),
  rate_limited: () =>
    new ProviderError('upstream_rate_limited', 'The sandbox is rate limited, as it was asked.', {
      retryAfterMs: RETRY_AFTER_MS,
    }),
  unavailable: () =>
    new ProviderError('upstream_unavailable', 'The sandbox is unavailable, as it was asked to be.'),
}

/** Plays what `#sandbox:SCENARIO` in a prompt asks for, in order; words it does not know are text. */
export async function playScenarios(prompt: string, signal: AbortSignal): Promise<void> {
  for (const [, name = '', value] of prompt.matchAll(SCENARIO)) {
    if (name === 'slow') await wait(Number(value ?? 0), signal)
    const fault = Object.hasOwn(FAULTS, name) ? FAULTS[name] : undefined
    if (fault !== undefined) throw fault()
  }
}

async function wait(seconds: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(Math.min(seconds, MAX_SLOW_SECONDS) * 1000, undefined, { signal })
  } catch {
    // The timer's own AbortError would hide the caller's reason.
    signal.throwIfAborted()
  }
}
