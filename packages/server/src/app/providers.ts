import { createLiveProvider } from '../adapters/image-provider/live.ts'
import { createSandboxProvider } from '../adapters/image-provider/sandbox.ts'
import type { Config } from '../config.ts'
import type { Deps } from '../kernel/deps.ts'
import { observeCalls } from '../kernel/measure.ts'
import type { ImageCodec } from '../ports/image-codec.ts'

/** Who makes pictures; live ones only with a key. */
export function providersOf(
  { provider }: Config,
  codec: ImageCodec,
  { log, metrics }: Pick<Deps, 'log' | 'metrics'>,
): Deps['providers'] {
  const { geminiApiKey: apiKey, geminiBaseUrl: baseUrl, geminiApiVersion: apiVersion } = provider
  const test = createSandboxProvider({ codec })
  if (apiKey === undefined) return { test }
  const live = createLiveProvider({
    apiKey,
    ...(baseUrl === undefined ? {} : { baseUrl }),
    ...(apiVersion === undefined ? {} : { apiVersion }),
    attemptTimeoutMs: provider.attemptTimeoutMs,
    log,
    observer: observeCalls(metrics),
  })
  return { live, test }
}
