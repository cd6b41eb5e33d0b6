import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type GenerationResult, NanoBanana, NanoBananaError } from '../packages/sdk/src/index.ts'
import { BootError, type Config } from '../packages/server/src/config.ts'
import { readConfig } from '../packages/server/src/app.ts'
import { readOwner } from '../packages/server/src/db/folder-lock.ts'
import { createService } from '../packages/server/src/service.ts'

interface Running extends AsyncDisposable {
  readonly url: string
  /** False: it ran before, and goes on running. */
  readonly ours: boolean
}

/** The whole journey through the SDK: account, login, key, picture, file. */
async function demo(config: Config, prompt: string): Promise<void> {
  await using service = await reachService(config)
  const client = new NanoBanana({ baseUrl: service.url })
  const session = client.withApiKey(await logIn(client, config.dataDir))
  const mode = config.provider.geminiApiKey === undefined ? 'test' : 'live'
  const { id, key } = await session.keys.create({ name: 'demo', mode })
  try {
    console.log(`Drawing ${JSON.stringify(prompt)} with a ${mode} key …`)
    await save(await client.withApiKey(key).generate({ prompt }), service)
  } finally {
    await session.keys.revoke({ id })
  }
}

/** The service that already has the data folder, or one of our own. */
async function reachService(config: Config): Promise<Running> {
  const owner = config.database.url === undefined ? await readOwner(config.dataDir) : undefined
  if (owner?.url !== undefined) {
    return { url: owner.url, ours: false, [Symbol.asyncDispose]: async () => {} }
  }
  const service = await createService(config)
  const url = await service.listen()
  return { url, ours: true, [Symbol.asyncDispose]: () => service.close() }
}

/** Logs in as the account of the last demo on this data folder, or registers it. */
async function logIn(client: NanoBanana, dataDir: string): Promise<string> {
  const file = join(dataDir, 'demo.json')
  const known = await readFile(file, 'utf8').then(JSON.parse, () => undefined)
  if (known !== undefined) {
    const token = await client.auth.login(known).catch((error: unknown) => {
      if (error instanceof NanoBananaError && error.code === 'invalid_credentials') return undefined
      throw error
    })
    if (token !== undefined) return token.access_token
  }
  const random = randomBytes(12).toString('hex')
  const account = { email: `demo-${random.slice(0, 8)}@example.com`, password: random }
  await client.auth.register(account)
  await writeFile(file, JSON.stringify(account), { mode: 0o600 })
  return (await client.auth.login(account)).access_token
}

const EXTENSIONS: Record<string, string> = { 'image/jpeg': 'jpg', 'image/webp': 'webp' }

async function save(generation: GenerationResult, service: Running): Promise<void> {
  const [image] = generation.images
  if (image === undefined || generation.url === null) throw new Error('there is no picture')
  const file = resolve(`banana-${generation.id.slice(-6)}.${EXTENSIONS[image.mime_type] ?? 'png'}`)
  await image.save(file)
  console.log(`${image.width}x${image.height} ${image.mime_type}, $${generation.usage.cost_usd}`)
  console.log(`File: ${file}`)
  if (generation.url.startsWith('data:')) return
  console.log(`URL:  ${generation.url}`)
  if (service.ours) console.log('      (answers while the service runs: npx -y pnpm@12 start)')
}

try {
  const prompt = process.argv.slice(2).join(' ').trim() || 'a banana astronaut'
  const config = readConfig({
    storageFallback: 'disk',
    defaults: { LOG_LEVEL: 'warn' },
  })
  await demo(config, prompt)
} catch (error) {
  const expected = error instanceof BootError || error instanceof NanoBananaError
  console.error(expected ? error.message : error)
  process.exitCode = error instanceof BootError ? error.exitCode : 1
}
