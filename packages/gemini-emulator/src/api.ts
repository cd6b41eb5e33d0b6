import type { Exchange } from './exchange.ts'
import { GoogleError, invalidKey, missingKey, modelNotFound } from './google-error.ts'
import { readGenerateRequest } from './generate-request.ts'
import { countTokens, modelList, modelPage } from './model-pages.ts'
import { findModel } from './models.ts'
import type { PictureStyle } from './pictures.ts'
import { parseJson, readBody } from './request-body.ts'
import { digestBlobs } from './request-log.ts'
import { readRoute } from './routes.ts'
import type { Route } from './routes.ts'
import { SCENARIOS } from './scenarios/table.ts'
import type { ScenarioDefinition } from './scenarios/define.ts'
import type { Script } from './script.ts'
import { sendReply } from './send.ts'
import type { Face } from './send.ts'

export interface ApiOptions {
  pathPrefix: string
  /** Undefined accepts every key that is not bad. */
  apiKeys: readonly string[] | undefined
  badApiKeys: readonly string[]
  signatureBytes: number
  pictureStyle: PictureStyle
  gzip: boolean
  maxRequestBytes: number
  unknownOnV1: readonly string[]
  script: Script
  redirectOrigin: string
}

const NOT_FOUND_PAGE = '<!DOCTYPE html>\n<html><title>Error 404 (Not Found)!!1</title></html>\n'

/** Answers one request as Google's API would, or as the script wants it. */
export async function answerApi(exchange: Exchange, options: ApiOptions): Promise<void> {
  const url = new URL(exchange.request.url ?? '/', 'http://emulator')
  const route = readRoute(url.pathname, options.pathPrefix)
  const face = readFace(route, url)
  try {
    const body = await readLoggedBody(exchange, options)
    await answerRoute(exchange, options, { url, route, face, body })
  } catch (error) {
    if (!(error instanceof GoogleError)) throw error
    const { body } = error
    await sendReply(exchange, { kind: 'json', status: body.error.code, body }, face)
  }
}

interface Parsed {
  url: URL
  route: Route | undefined
  face: Face
  body: string
}

async function answerRoute(
  exchange: Exchange,
  options: ApiOptions,
  { url, route, face, body }: Parsed,
): Promise<void> {
  const { method } = exchange.request
  if (!route || method !== (route.method ? 'POST' : 'GET')) {
    const contentType = 'text/html; charset=UTF-8'
    return sendReply(exchange, { kind: 'raw', status: 404, contentType, text: NOT_FOUND_PAGE })
  }
  checkKey(exchange, options)
  if (route.method === 'generateContent' || route.method === 'streamGenerateContent') {
    return generate(exchange, options, route, face, body)
  }
  const page = readPage(route, url, body)
  return sendReply(exchange, { kind: 'json', status: 200, body: page })
}

function readPage(route: Route, url: URL, body: string): unknown {
  if (!route.model) return modelList(url.searchParams)
  if (!route.method) return modelPage(route.model, route.version)
  const model = findModel(route.model)
  if (model && route.method === 'countTokens') return countTokens(parseJson(body), model)
  throw new GoogleError(modelNotFound(route.model, route.version, route.method))
}

async function generate(
  exchange: Exchange,
  options: ApiOptions,
  { version, model: id = '' }: Route,
  face: Face,
  body: string,
): Promise<void> {
  const model = findModel(id)
  // Streams name the unary method too.
  if (!model) throw new GoogleError(modelNotFound(id, version, 'generateContent'))
  const unknownFields = version === 'v1' ? options.unknownOnV1 : []
  const request = readGenerateRequest(parseJson(body), model, unknownFields)
  const { name = 'success', ...scenario } = options.script.take(request.prompt.text)
  exchange.entry.scenario = name
  const definition: ScenarioDefinition = SCENARIOS[name]
  const settings = { gzip: options.gzip, ...definition.defaults, ...scenario }
  const reply = await definition.reply({
    request,
    version,
    settings,
    signatureBytes: options.signatureBytes,
    pictureStyle: options.pictureStyle,
    redirectUrl: options.redirectOrigin + (exchange.request.url ?? ''),
  })
  await sendReply(exchange, reply, face, settings)
}

function checkKey({ request }: Exchange, options: ApiOptions): void {
  const key = String(request.headers['x-goog-api-key'] ?? '')
  if (!key) throw new GoogleError(missingKey())
  const accepted = options.apiKeys?.includes(key) ?? true
  if (accepted && !options.badApiKeys.includes(key)) return
  throw new GoogleError(invalidKey('API key not valid. Please pass a valid API key.'))
}

async function readLoggedBody(exchange: Exchange, options: ApiOptions): Promise<string> {
  const { entry, request } = exchange
  const bytes = await readBody(request, options.maxRequestBytes)
  const text = bytes.toString()
  entry.bodyBytes = bytes.length
  try {
    entry.body = text ? digestBlobs(JSON.parse(text)) : undefined
  } catch {
    entry.body = text.slice(0, 1000)
  }
  return text
}

function readFace(route: Route | undefined, url: URL): Face {
  if (route?.method !== 'streamGenerateContent') return 'json'
  return url.searchParams.get('alt') === 'sse' ? 'events' : 'json-array'
}
