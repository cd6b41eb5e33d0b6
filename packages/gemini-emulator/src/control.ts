import type { IncomingMessage, ServerResponse } from 'node:http'

import { isObject } from './json.ts'
import { readBody } from './request-body.ts'
import { InvalidScenarioError } from './scenario.ts'
import { SCENARIOS } from './scenarios/table.ts'
import type { Script } from './script.ts'

export interface Controls {
  script: Script
  requests: readonly unknown[]
  redirected: readonly unknown[]
  clearRequests: () => void
  stats: () => unknown
}

export const CONTROL_PATH = '/__control'
const MAX_CONTROL_BYTES = 10_000_000

export async function answerControl(
  request: IncomingMessage,
  response: ServerResponse,
  controls: Controls,
): Promise<void> {
  const [path = ''] = (request.url ?? '').slice(CONTROL_PATH.length).split('?')
  try {
    const result = await control(`${request.method} ${path}`, request, controls)
    if (result === undefined) respond(response, 404, { error: 'There is no such control.' })
    else respond(response, 200, result)
  } catch (error) {
    if (!(error instanceof InvalidScenarioError)) throw error
    respond(response, 400, { error: error.message })
  }
}

async function control(
  action: string,
  request: IncomingMessage,
  controls: Controls,
): Promise<unknown> {
  switch (action) {
    case 'POST /script':
      applyScript(await readJson(request), controls.script)
      return controls.stats()
    case 'DELETE /script':
      controls.script.clear()
      return controls.stats()
    case 'GET /requests':
      return { requests: controls.requests, redirected: controls.redirected }
    case 'DELETE /requests':
      controls.clearRequests()
      return controls.stats()
    case 'GET /stats':
      return controls.stats()
    case 'GET /scenarios':
      return Object.entries(SCENARIOS).map(([name, { summary }]) => ({ name, summary }))
    default:
      return undefined
  }
}

function applyScript(body: unknown, script: Script): void {
  if (Array.isArray(body)) return script.enqueue(body)
  if (!isObject(body)) throw new InvalidScenarioError('A script is an array or an object.')
  const { queue = [], default: standard, ...rest } = body
  if (Object.keys(rest).length > 0 || !Array.isArray(queue)) {
    throw new InvalidScenarioError('A script has an array `queue` and a scenario `default`.')
  }
  script.enqueue(queue)
  if ('default' in body) script.setDefault(standard)
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const text = (await readBody(request, MAX_CONTROL_BYTES)).toString()
  try {
    return JSON.parse(text)
  } catch {
    throw new InvalidScenarioError('A script is JSON.')
  }
}

function respond(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}
