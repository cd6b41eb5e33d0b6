import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'

const MAIN = new URL('main.ts', import.meta.url).pathname

test('the command prints its address in one line and stops on SIGTERM', async () => {
  const flags = ['--path-prefix', '/gemini', '--api-key', 'good', '--scenario', '{"name":"html"}']
  const child = spawn(process.execPath, ['--conditions=source', MAIN, '--port', '0', ...flags])
  const [url] = (await once(createInterface(child.stdout), 'line')) as [string]
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/gemini$/)
  const response = await fetch(`${url}/v1/models`, { headers: { 'x-goog-api-key': 'good' } })
  expect(response.status).toBe(200)
  child.kill('SIGTERM')
  const [code] = (await once(child, 'exit')) as [number | null]
  expect(code).toBe(0)
})

test('the command refuses a wrong flag', async () => {
  const child = spawn(process.execPath, ['--conditions=source', MAIN, '--port', 'many'])
  const [code] = (await once(child, 'exit')) as [number | null]
  expect(code).toBe(1)
})
