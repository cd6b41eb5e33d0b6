import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import OpenAI, { APIError } from 'openai'
import { expect, test } from 'vitest'
import { AppError } from '../../packages/server/src/kernel/app-error.ts'
import { ERROR_CODES, ERRORS, type ErrorCode } from '../../packages/shared/src/index.ts'

/** Refuses each request with the error that its prompt names, and counts. */
async function serveErrors() {
  const counts = new Map<string, number>()
  const server = createServer(async (request, response) => {
    const { prompt: code } = JSON.parse(await text(request)) as { prompt: ErrorCode }
    counts.set(code, (counts.get(code) ?? 0) + 1)
    const wait = ERRORS[code].retryable ? { retryAfterSeconds: 1 } : {}
    const error = new AppError(code, undefined, wait)
    const headers = { ...error.toHeaders(), 'content-type': 'application/json' }
    response.writeHead(error.row.status, headers)
    response.end(JSON.stringify({ error: error.toBody('req_x') }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return { counts, baseURL: `http://127.0.0.1:${port}/v1`, close: () => server.close() }
}

test('ERR-3: of every error the client sends one request, or three, as x-should-retry says', async () => {
  const { counts, baseURL, close } = await serveErrors()
  const client = new OpenAI({ baseURL, apiKey: 'nb_test_x' })
  const errors = await Promise.all(
    ERROR_CODES.map((prompt) =>
      client.images.generate({ prompt }).catch((error: unknown) => error),
    ),
  )
  close()
  for (const [index, code] of ERROR_CODES.entries()) {
    const { status, type, retryable } = ERRORS[code]
    expect(errors[index]).toBeInstanceOf(APIError)
    expect(errors[index]).toMatchObject({ status, code, type })
    expect({ code, requests: counts.get(code) }).toEqual({ code, requests: retryable ? 3 : 1 })
  }
})
