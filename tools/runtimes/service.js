import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'

const MAIN = join(import.meta.dirname, '../../packages/server/dist/main.js')
const PATIENCE_MS = 30_000

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

/** The release build on loopback with a key of its own; pages of `origin` may call it. */
export async function startService(folder, origin) {
  const port = await freePort()
  const baseUrl = `http://127.0.0.1:${port}`
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    DATA_DIR: join(folder, 'data'),
    PORT: String(port),
    STORAGE: 'disk',
    CORS_ORIGINS: origin,
    LOG_LEVEL: 'warn',
  }
  const server = spawn(process.execPath, [MAIN, 'serve'], {
    env,
    cwd: folder,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const stop = async () => {
    if (server.exitCode !== null) return
    server.kill('SIGTERM')
    await once(server, 'exit')
  }
  try {
    await healthy(baseUrl, server)
    return { baseUrl, apiKey: await createKey(baseUrl), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function healthy(baseUrl, server) {
  const end = Date.now() + PATIENCE_MS
  for (;;) {
    const answer = await fetch(`${baseUrl}/healthz`).catch(() => undefined)
    if (answer?.ok) return
    if (server.exitCode !== null || Date.now() > end) throw new Error('the service did not start')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

async function createKey(baseUrl) {
  const post = async (path, body, token) => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` }
    const answer = await fetch(baseUrl + path, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
    })
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`)
    return answer.json()
  }
  const person = { email: 'runtimes@example.com', password: 'correct horse battery' }
  await post('/v1/auth/register', person)
  const { access_token: token } = await post('/v1/auth/login', person)
  const { key } = await post('/v1/keys', { name: 'run times', mode: 'test' }, token)
  return key
}
