import type { IncomingMessage, ServerResponse } from 'node:http'

import { answerApi } from './api.ts'
import type { ApiOptions } from './api.ts'
import { answerControl, CONTROL_PATH } from './control.ts'
import { createExchange } from './exchange.ts'
import type { Exchange } from './exchange.ts'
import { errorBody } from './google-error.ts'
import { listen } from './listen.ts'
import type { PictureStyle } from './pictures.ts'
import { createRequestLog } from './request-log.ts'
import type { LoggedRequest } from './request-log.ts'
import type { ScenarioInput } from './scenario.ts'
import { createScript } from './script.ts'
import { startSecondOrigin } from './second-origin.ts'
import { createStats } from './stats.ts'
import type { EmulatorStats } from './stats.ts'
import { sendReply } from './send.ts'

/** Fields of generationConfig that Google's `v1` may turn out not to know. */
export type DisputedField =
  | 'imageConfig'
  | 'responseFormat'
  | 'responseModalities'
  | 'thinkingConfig'

export interface EmulatorOptions {
  /** Any free port by default. */
  port?: number
  /** 127.0.0.1 by default. */
  host?: string
  /** Path before `/v1`, such as `/proxy/gemini`. */
  pathPrefix?: string
  /** Keys that are accepted; without it, every key but the bad ones. */
  apiKeys?: readonly string[]
  /** Keys that are refused, `bad` by default. */
  badApiKeys?: readonly string[]
  /** Bytes of each thoughtSignature, 1 100 000 by default as in real answers. */
  signatureBytes?: number
  pictureStyle?: PictureStyle
  /** Compress answers for callers that accept it. */
  gzip?: boolean
  /** 100 MiB by default. */
  maxRequestBytes?: number
  /** Fields refused on `/v1` as unknown names, none by default. */
  unknownOnV1?: readonly DisputedField[]
  /** What is played when the queue is empty, `success` by default. */
  scenario?: ScenarioInput
  /** Requests kept in the log, 10 000 by default. */
  logLimit?: number
}

export interface Emulator extends AsyncDisposable {
  /** Base URL for the client under test, path prefix included, no trailing slash. */
  readonly url: string
  readonly controlUrl: string
  /** Requests to the API, oldest first. */
  readonly requests: readonly LoggedRequest[]
  /** Requests that followed a redirect to the second origin. */
  readonly redirected: readonly LoggedRequest[]
  /** Adds scenarios to the queue; each valid request for content takes one. */
  script: (scenarios: readonly ScenarioInput[]) => void
  setDefault: (scenario?: ScenarioInput) => void
  /** Empties the queue and goes back to the first default. */
  clearScript: () => void
  /** Empties both logs and starts the counters anew. */
  clearRequests: () => void
  stats: () => EmulatorStats
  /** Resolves as soon as no request to the API is under way. */
  idle: () => Promise<void>
  close: () => Promise<void>
}

export async function startEmulator(options: EmulatorOptions = {}): Promise<Emulator> {
  const script = createScript(options.scenario)
  const log = createRequestLog(options.logLimit ?? 10_000)
  const stats = createStats(script)
  const pathPrefix = (options.pathPrefix ?? '').replace(/\/$/, '')
  const secondOrigin = await startSecondOrigin(options.host)
  const api = apiOptions(options, { script, pathPrefix, redirectOrigin: secondOrigin.origin })
  const clearRequests = () => {
    log.clear()
    secondOrigin.clear()
    stats.clear()
  }
  const controls = {
    script,
    requests: log.entries,
    redirected: secondOrigin.requests,
    clearRequests,
    stats: stats.read,
  }

  const answer = (request: IncomingMessage, response: ServerResponse) => {
    if (request.url?.startsWith(CONTROL_PATH)) {
      answerControl(request, response, controls).catch(() => response.destroy())
      return
    }
    const entry = log.add(request)
    stats.opened()
    const exchange = createExchange(request, response, entry, () => stats.closed(entry))
    answerApi(exchange, api).catch((error: unknown) => reportFault(exchange, error))
  }
  const listener = await listen(answer, options).catch(async (error: unknown) => {
    await secondOrigin.close()
    throw error
  })
  const close = async () => {
    await Promise.all([listener.close(), secondOrigin.close()])
  }

  return {
    url: listener.origin + pathPrefix,
    controlUrl: listener.origin + CONTROL_PATH,
    requests: log.entries,
    redirected: secondOrigin.requests,
    script: script.enqueue,
    setDefault: script.setDefault,
    clearScript: script.clear,
    clearRequests,
    stats: stats.read,
    idle: stats.idle,
    close,
    [Symbol.asyncDispose]: close,
  }
}

function apiOptions(
  options: EmulatorOptions,
  fixed: Pick<ApiOptions, 'script' | 'pathPrefix' | 'redirectOrigin'>,
): ApiOptions {
  return {
    apiKeys: options.apiKeys,
    badApiKeys: options.badApiKeys ?? ['bad'],
    signatureBytes: options.signatureBytes ?? 1_100_000,
    pictureStyle: options.pictureStyle ?? 'gradient',
    gzip: options.gzip ?? false,
    maxRequestBytes: options.maxRequestBytes ?? 100 * 1024 * 1024,
    unknownOnV1: options.unknownOnV1 ?? [],
    ...fixed,
  }
}

/** A caller that went away needs no answer; anything else is a mistake of the emulator itself. */
function reportFault(exchange: Exchange, error: unknown): void {
  if (exchange.closed.aborted) return
  if (exchange.response.headersSent) {
    exchange.hangUp('reset')
    return
  }
  const body = errorBody(500, 'EMULATOR_FAULT', String(error))
  sendReply(exchange, { kind: 'json', status: 500, body }).catch(() => exchange.hangUp('reset'))
}
