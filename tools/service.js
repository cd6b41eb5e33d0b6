import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'

const MAIN = join(import.meta.dirname, '../packages/server/dist/main.js')
const PATIENCE_MS = 30_000

/** A port of loopback that nobody has now. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

/** The release build on loopback with an account and a test key of its own. */
export async function startService(folder, settings = {}) {
  const port = await freePort()
  const baseUrl = `http://127.0.0.1:${port}`
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    DATA_DIR: join(folder, 'data'),
    PORT: String(port),
    STORAGE: 'disk',
    LOG_LEVEL: 'warn',
    DRAIN_DELAY: '0',
    ...settings,
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
    return { baseUrl, ...(await createCredentials(baseUrl)), stop }
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

/** Posts JSON with an access token or a key. */
export async function post(baseUrl, path, body, credential) {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${credential}` }
  const init = { method: 'POST', headers, body: JSON.stringify(body) }
  const answer = await fetch(baseUrl + path, init)
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  return answer.json()
}

async function createCredentials(baseUrl) {
  const person = { email: 'tools@example.com', password: 'correct horse battery' }
  await post(baseUrl, '/v1/auth/register', person)
  const { access_token: token } = await post(baseUrl, '/v1/auth/login', person)
  const wanted = { name: 'tools', mode: 'test', scopes: ['generate', 'read', 'usage'] }
  const { key: apiKey } = await post(baseUrl, '/v1/keys', wanted, token)
  return { token, apiKey }
}
